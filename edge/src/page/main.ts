/** The page's script: what is chosen and asked goes to the conversation, what that says goes to the page. */
import { Conversation } from './conversation.ts';
import { byId } from './elements.ts';
import { describeImage, hideCaution, showFacts, showImage } from './image-view.ts';
import type { ChosenImage } from './images.ts';
import { openFileDialog, startIntake } from './intake.ts';
import { startKey } from './key.ts';
import { addToStrip, markInStrip, startStrip } from './strip.ts';

const question = byId('question', HTMLInputElement);
const turns = byId('turns', HTMLElement);
const chips = byId('chips', HTMLElement);
const end = byId('end', HTMLElement);
const newConversation = byId('new-conversation', HTMLButtonElement);
const maxFileBytes = Number(document.body.dataset.maxImageBytes);

let conversation: Conversation | null = null;

/** Whether the end of the conversation is in sight: only then does the page follow what is written. */
let isAtEnd = true;
new IntersectionObserver(
  ([entry]) => {
    isAtEnd = entry?.isIntersecting ?? true;
  },
  { rootMargin: '0px 0px 160px' },
).observe(end);

startKey();
startStrip(choose);
startIntake({
  onImages: (images, noImages = 0) => {
    const added = addToStrip(images);
    const [first] = added;
    if (first === undefined) return;
    choose(first);
    const leftOut = images.length - added.length + noImages;
    say(
      [
        ...(added.length > 1
          ? [`One image at a time: this is the first of ${added.length}, the others are below.`]
          : []),
        ...(leftOut > 0 ? [`Left out: ${leftOut} ${leftOut === 1 ? 'file' : 'files'}.`] : []),
      ].join(' '),
    );
  },
  onNothing: say,
});
byId('ask', HTMLFormElement).addEventListener('submit', (event) => {
  event.preventDefault();
  const text = question.value.trim();
  if (text !== '' && ask(text)) question.value = '';
});
newConversation.addEventListener('click', () => {
  conversation?.forgetQuestions();
  newConversation.hidden = true;
  say('');
  question.focus();
});

/** Begins a conversation about an image with its caption. */
function choose(image: ChosenImage): void {
  conversation?.end();
  say('');
  showImage(image);
  markInStrip(image);
  showChips(image.questions);
  newConversation.hidden = true;
  const current = new Conversation(image, maxFileBytes, {
    onTurn: (view) => turns.append(view.element),
    onAccepted: (facts) => {
      showFacts(facts);
      focusQuestion();
    },
    onCaption: (caption, isWarned) => {
      describeImage(caption);
      if (isWarned) hideCaution();
    },
    onRefused: () => {
      chips.hidden = true;
      hideCaution();
    },
    onWritten: () => {
      if (isAtEnd) scrollToEnd();
    },
    onNews: announce,
    onOtherImage: openFileDialog,
  });
  conversation = current;
  current.start();
}

/** @returns whether there is an image to ask about */
function ask(text: string): boolean {
  if (conversation === null) {
    say('Choose an image first: a sample, or one of your own.');
    return false;
  }
  say('');
  conversation.ask(text);
  newConversation.hidden = false;
  scrollToEnd();
  return true;
}

/** Where little fits on the screen, the last turn comes before the questions to ask. */
function scrollToEnd(): void {
  end.scrollIntoView({ block: 'nearest' });
  turns.lastElementChild?.scrollIntoView({ block: 'nearest' });
}

function showChips(questions: readonly string[]): void {
  const entries = questions.map((text) => {
    const [entry, button] = [document.createElement('li'), document.createElement('button')];
    button.type = 'button';
    button.textContent = text;
    button.addEventListener('click', () => ask(text));
    entry.append(button);
    return entry;
  });
  chips.replaceChildren(...entries);
  chips.hidden = false;
  chips.scrollLeft = 0;
}

/** Whoever brought an image may type at once, unless they are elsewhere already, or a keyboard would cover half the screen. */
function focusQuestion(): void {
  const { activeElement } = document;
  const isFree = activeElement === document.body || activeElement?.id === 'file';
  if (isFree && !matchMedia('(pointer: coarse)').matches) question.focus({ preventScroll: true });
}

/** A word to people about what they just did. */
function say(text: string): void {
  byId('hint', HTMLElement).textContent = text;
}

/** Lets a screen reader read a text when it has finished what it is reading. */
function announce(text: string): void {
  const line = document.createElement('p');
  line.textContent = text;
  byId('announcer', HTMLElement).replaceChildren(line);
}
