// What a press of a button does: one at a time, with what went wrong.

/** What is being done. */
export class Work {
  /** Whether something is under way: what is pressed meanwhile is left out. */
  busy = $state(false);
  /** Why the last did not go well, if it did not. */
  problem = $state.raw<unknown>(null);

  /** Does it; whether it went well. */
  async do(what: () => Promise<unknown>): Promise<boolean> {
    if (this.busy) return false;
    this.busy = true;
    this.problem = null;
    try {
      await what();
      return true;
    } catch (error) {
      this.problem = error;
      return false;
    } finally {
      this.busy = false;
    }
  }
}
