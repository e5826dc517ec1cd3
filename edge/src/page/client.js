// The page's behavior: one image, its caption as it is written, questions about it.

const byId = (id) => document.getElementById(id);
const drop = byId('drop');
const question = byId('question');

/** What the page talks about; a new image begins anew and ends what is still being written. */
let shown = null;

byId('file').addEventListener('change', (event) => {
  const [file] = event.target.files;
  if (file) show(file);
  event.target.value = '';
});
for (const name of ['dragenter', 'dragover']) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    drop.classList.add('over');
  });
}
for (const name of ['dragleave', 'drop']) {
  document.addEventListener(name, () => drop.classList.remove('over'));
}
document.addEventListener('drop', (event) => {
  event.preventDefault();
  const [file] = event.dataTransfer.files;
  if (file) show(file);
});
document.addEventListener('paste', (event) => {
  const file = [...event.clipboardData.files].find(({ type }) => type.startsWith('image/'));
  if (file) show(file);
});
byId('ask').addEventListener('submit', (event) => {
  event.preventDefault();
  const text = question.value.trim();
  if (text && shown) ask(shown, text);
});

/** Shows the image and streams its caption. */
async function show(file) {
  shown?.abort.abort();
  const current = { file, history: [], sha256: null, abort: new AbortController() };
  shown = current;
  const preview = byId('preview');
  URL.revokeObjectURL(preview.src);
  preview.src = URL.createObjectURL(file);
  preview.hidden = false;
  byId('invitation').hidden = true;
  drop.classList.add('full');
  byId('facts').textContent = '';
  for (const turn of document.querySelectorAll('.turn:not(:first-child)')) turn.remove();
  const caption = byId('caption');
  caption.parentElement.querySelector('.times')?.remove();
  question.disabled = byId('send').disabled = false;
  if (!matchMedia('(pointer: coarse)').matches) question.focus();
  current.captioned = write(current, caption, () =>
    fetch('/v1/captions?stream=true', {
      method: 'POST',
      headers: { 'content-type': file.type || 'application/octet-stream' },
      body: file,
      signal: current.abort.signal,
    }),
  );
  current.written = current.captioned;
  // What cannot be captioned cannot be asked about.
  if (!(await current.captioned) && shown === current) {
    question.disabled = byId('send').disabled = true;
  }
}

/** Queues a question behind the text that is still being generated. */
function ask(current, text) {
  const turn = byId('turn').content.cloneNode(true).firstElementChild;
  turn.querySelector('.asked').textContent = text;
  byId('talk').append(turn);
  turn.scrollIntoView({ block: 'end' });
  question.value = '';
  current.written = current.written.then(() => answer(current, text, turn));
}

/** Streams the answer to a question, with the conversation so far. */
async function answer(current, text, turn) {
  if (shown !== current || !(await current.captioned)) return turn.remove();
  const send = (image) =>
    fetch('/v1/answers', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ image, question: text, history: current.history, stream: true }),
      signal: current.abort.signal,
    });
  const done = await write(current, turn.querySelector('.said'), async () => {
    if (current.sha256) {
      const response = await send({ sha256: current.sha256 });
      if (response.status !== 404 && response.status !== 503) return response;
    }
    // The hash is not known here, or cannot be looked up now: the image itself is sent once more.
    return send({ data: await readDataUrl(current.file) });
  });
  if (done) current.history.push({ question: text, answer: done.text });
}

/**
 * Writes a streamed reply into `said`, then its times below.
 * @returns the `done` event, or null when there is none
 */
async function write(current, said, send) {
  const start = performance.now();
  let firstToken = null;
  let done = null;
  said.textContent = '';
  said.className = 'said writing';
  byId('talk').setAttribute('aria-busy', 'true');
  try {
    const response = await send();
    if (!response.ok) throw new Error(explain(await response.json()));
    for await (const { event, data } of readEvents(response.body)) {
      if (event === 'image') {
        current.sha256 = data.sha256;
        byId('facts').textContent =
          `${data.format.toUpperCase()} · ${data.width} × ${data.height} · sha256 ${data.sha256.slice(0, 12)}…`;
      } else if (event === 'token') {
        firstToken ??= performance.now() - start;
        said.textContent += data.text;
      } else if (event === 'error') {
        throw new Error(explain(data));
      } else if (event === 'done') {
        done = data;
      }
      const talk = byId('talk');
      talk.scrollTop = talk.scrollHeight;
    }
    if (!done) throw new Error('The connection broke off. Please try again.');
    said.after(times(done, firstToken, performance.now() - start));
  } catch (error) {
    if (current.abort.signal.aborted) return null;
    said.classList.add('failed');
    said.textContent =
      error.name === 'TypeError' ? 'The service cannot be reached.' : error.message;
  } finally {
    if (!current.abort.signal.aborted) {
      said.classList.remove('writing');
      byId('talk').setAttribute('aria-busy', 'false');
      byId('talk').scrollTop = byId('talk').scrollHeight;
    }
  }
  return done;
}

function times(done, firstToken, total) {
  const isHit = done.cache !== 'miss';
  const line = document.createElement('p');
  line.className = 'times';
  const badge = document.createElement('span');
  badge.className = `badge ${isHit ? 'hit' : 'miss'}`;
  badge.dataset.testid = 'cache';
  badge.textContent = isHit ? `hit · ${done.cache}` : 'miss';
  const { completion_tokens: count } = done.usage;
  const parts = [`${count} ${count === 1 ? 'token' : 'tokens'}`, `total ${total.toFixed(0)} ms`];
  if (firstToken !== null) parts.unshift(`first token ${firstToken.toFixed(0)} ms`);
  line.append(badge, ...parts.map(textSpan));
  return line;
}

function textSpan(text) {
  const span = document.createElement('span');
  span.textContent = text;
  return span;
}

function explain({ title, detail, limit, actual }) {
  const numbers = limit === undefined ? '' : ` (${actual} of at most ${limit})`;
  return `${title}. ${detail}${detail?.includes(String(limit)) ? '' : numbers}`;
}

/** Server-sent events of a body; comments are passed over. */
async function* readEvents(body) {
  let buffer = '';
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    buffer += value;
    const blocks = buffer.split('\n\n');
    buffer = blocks.pop();
    for (const block of blocks) {
      const fields = Object.fromEntries(
        block.split('\n').map((line) => {
          const colon = line.indexOf(': ');
          return [line.slice(0, colon), line.slice(colon + 2)];
        }),
      );
      if (fields.event) yield { event: fields.event, data: JSON.parse(fields.data) };
    }
  }
}

function readDataUrl(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}
