// What can be chosen from, read once: kinds of content and apps; and what both are called.
import { get } from '../api/client';
import type { Budget, Category, Service } from '../api/types';
import { text } from './language.svelte';

let kinds = $state.raw<readonly Category[]>([]);
let apps = $state.raw<readonly Service[]>([]);
let reading: Promise<void> | null = null;

/** Reads them, where that was not done yet. */
export function readChoices(): Promise<void> {
  reading ??= Promise.all([get('/categories'), get('/services')]).then(
    ([categories, services]) => {
      kinds = categories;
      apps = services;
    },
    (error: unknown) => {
      reading = null;
      throw error;
    },
  );
  return reading;
}

/** Kinds of content. */
export function categories(): readonly Category[] {
  return kinds;
}

/** Apps and sites as a whole. */
export function services(): readonly Service[] {
  return apps;
}

/** Apps of a kind of content. Who blocks the kind means them too. */
export function appsOf(category: string): string[] {
  return apps.filter((one) => one.category === category).map((one) => one.id);
}

/** What `category:games` or `service:youtube` is called. */
function named(what: string): string {
  const [kind, id] = what.split(':');
  if (kind === 'service') return apps.find((one) => one.id === id)?.name ?? what;
  const category = kinds.find((one) => one.id === id);
  return category ? text(category.name) : what;
}

/** What a budget is called; apps that a kind of content stands for are not named beside it. */
export function budgetName(budget: Budget): string {
  if (budget.name) return budget.name;
  const whole = new Set(budget.what.filter((one) => one.startsWith('category:')).flatMap((one) => appsOf(one.slice('category:'.length))));
  return budget.what.filter((one) => !whole.has(one.replace('service:', ''))).map(named).join(', ');
}
