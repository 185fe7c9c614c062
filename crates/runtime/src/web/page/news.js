// Says in words what the cards show as a colour: a line that nobody sees, and that a screen reader reads when it changes.

export class StateNews {
  constructor(line) {
    this.line = line;
    this.told = new Map();
  }

  /** Says which targets, {target, name, state}, have another state than when they were shown last. */
  show(targets) {
    const changed = targets.filter(({ target, state }) => this.told.has(target) && this.told.get(target) !== state);
    this.told = new Map(targets.map(({ target, state }) => [target, state]));
    if (changed.length === 0) return;
    this.line.textContent = changed.map(({ target, name, state }) => `Target ${target}${name ? ` ${name}` : ''}: ${state}`).join('. ');
  }
}
