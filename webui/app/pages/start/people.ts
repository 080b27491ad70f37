// Who lives here, as first run asks for it, and the policy that is made of it.
import type { Answer } from '../../api/client';
import type { Profile } from '../../api/types';

export type Preset = Answer<'get', '/presets'>[number];

/** Somebody, or a group of a school. */
export interface Person {
  name: string;
  face: string;
  preset: Preset;
}

/** Presets of those who are no child and no group: everybody else's devices get the last one. */
export const OTHERS = { home: 'guest', school: 'school-guest' } as const;

/** A name that nobody has yet. */
export function free(wanted: string, people: readonly Person[]): string {
  const taken = new Set(people.map((one) => one.name));
  let name = wanted;
  for (let n = 2; taken.has(name); n += 1) name = `${wanted} ${n}`;
  return name;
}

/** The profile that somebody starts with. */
export function profileOf(person: Person): Profile {
  return { ...person.preset.profile, name: person.name.trim(), face: person.face };
}

/** What is wrong with the names, by their place: empty, or twice the same. */
export function wrongNames(people: readonly Person[]): Map<number, 'empty' | 'twice'> {
  const wrong = new Map<number, 'empty' | 'twice'>();
  const seen = new Set<string>();
  people.forEach((person, place) => {
    const name = person.name.trim();
    if (name === '') wrong.set(place, 'empty');
    else if (seen.has(name)) wrong.set(place, 'twice');
    seen.add(name);
  });
  return wrong;
}

/** Faces to choose from. */
export const FACES = ['🐣', '🦊', '🐬', '🦉', '🐼', '🦁', '🐸', '🐰', '🦄', '🐙', '🦋', '🐢', '🚀', '⚽', '🎨', '🎸', '🌻', '🌿', '🍓', '⭐', '🐶', '🐱', '🏡', '🚪'] as const;
