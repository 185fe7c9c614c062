// The list of targets: one card each, updated in place, so that focus and selection of text survive.

import { ageText } from './clock.js';
import { metresText, placeText } from './geo.js';

const BASIS = { map: 'map match', ray: 'ray only' };

export class TargetList {
  constructor(list, template, actions) {
    this.list = list;
    this.template = template;
    this.actions = actions;
    this.cards = new Map();
  }

  /** Shows the targets: {target, name, state, selected, again, track, position, ageMs, reason}. */
  show(targets) {
    const present = new Set(targets.map((target) => target.target));
    for (const [id, card] of this.cards) {
      if (present.has(id)) continue;
      card.remove();
      this.cards.delete(id);
    }
    for (const target of targets) {
      const card = this.cards.get(target.target) ?? this.make(target.target);
      this.fill(card, target);
    }
  }

  make(id) {
    const card = this.template.content.firstElementChild.cloneNode(true);
    const act = (selector, action) => card.querySelector(selector).addEventListener('click', () => action(id));
    act('.pick', this.actions.select);
    act('.show', this.actions.show);
    act('.again', this.actions.again);
    act('.delete', this.actions.remove);
    for (const what of ['place', 'mgrs']) {
      act(`.copy-${what}`, () => this.actions.copy(id, card.querySelector(`.${what}`).textContent));
    }
    this.letName(card, id);
    card.dataset.target = id;
    this.cards.set(id, card);
    this.list.append(card);
    return card;
  }

  /** Lets the operator name a target in its card. Nothing waits for that: ages are drawn all the while. */
  letName(card, id) {
    const [form, field, button] = ['.naming', '.naming-field', '.rename'].map((selector) => card.querySelector(selector));
    const close = () => {
      const hadFocus = form.contains(document.activeElement);
      form.hidden = true;
      if (hadFocus) button.focus();
    };
    field.setAttribute('aria-label', `Name of target ${id}`);
    button.addEventListener('click', () => {
      if (form.hidden) field.value = card.querySelector('.name').textContent;
      form.hidden = false;
      field.focus();
      field.select();
    });
    form.addEventListener('submit', async (event) => {
      event.preventDefault();
      // A name that is refused stays, to be corrected.
      if (await this.actions.rename(id, field.value)) close();
    });
    form.addEventListener('keydown', (event) => { if (event.key === 'Escape' && !event.isComposing) close(); });
    card.querySelector('.leave').addEventListener('click', close);
  }

  fill(card, { target, name, state, selected, again, track, position, ageMs, reason }) {
    const put = (selector, text) => {
      const element = card.querySelector(selector);
      if (element.textContent !== text) element.textContent = text;
    };
    card.dataset.state = state;
    card.classList.toggle('selected', selected);
    card.querySelector('.pick').setAttribute('aria-pressed', selected);
    card.querySelector('.again').setAttribute('aria-pressed', again);
    put('.number', String(target));
    put('.name', name ?? '');
    put('.state', state);
    const click = track?.click === 'assumed_frame' ? 'frame of the click assumed' : '';
    put('.why', [reason, click].filter(Boolean).join(' · '));
    put('.place', position ? placeText(position) : 'not known');
    put('.mgrs', position?.mgrs ?? '–');
    put('.ce90', position ? metresText(position.ce90_m) : '–');
    put('.basis', position ? BASIS[position.basis] ?? position.basis : '–');
    put('.age', ageText(ageMs));
    const sinceMs = track?.confirmation_age_ms;
    put('.confirmed', sinceMs === undefined ? 'never' : `${ageText(sinceMs + ageMs)} ago`);
    card.querySelector('.copy-place').disabled = !position;
    card.querySelector('.copy-mgrs').disabled = !position?.mgrs;
    card.querySelector('.show').disabled = !position;
  }

  /** Brings a card into sight where the list scrolls by itself; the page is never moved away from the video. */
  focus(id) {
    const card = this.cards.get(id);
    if (card && this.list.scrollHeight > this.list.clientHeight) this.list.scrollTop = card.offsetTop;
  }
}

/** Puts a text on the clipboard, also on a page that has no secure context. */
export async function copyText(text) {
  if (navigator.clipboard && window.isSecureContext) {
    await navigator.clipboard.writeText(text);
    return;
  }
  const area = document.createElement('textarea');
  area.value = text;
  document.body.append(area);
  area.select();
  const copied = document.execCommand('copy');
  area.remove();
  if (!copied) throw new Error('the browser does not allow copying');
}
