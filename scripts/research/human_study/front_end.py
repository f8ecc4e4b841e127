"""What runs in the rater's browser: layout, style and the clock of a question.

JavaScript gets from gradio: `element`; `props` with `seconds` and `folder`, the address of the
images; and `server` with the functions of page.py, which return undefined where the server could
not be reached or failed.
"""

HTML = """
<main class="study">
  <form class="welcome">
    <h1>Which image looks more authentic?</h1>
    <p>Two images appear side by side, only for a moment. Then choose the one that looks more like
    a real photograph: with the keys <kbd>&larr;</kbd> and <kbd>&rarr;</kbd>, with <kbd>F</kbd> and
    <kbd>J</kbd>, or with the buttons. There is no wrong answer; follow your first impression.</p>
    <p>Every answer is saved at once. You can stop at any time and continue later with the
    same name.</p>
    <p><label for="study-name">Your name, or any other</label>
    <input id="study-name" maxlength="40" autocomplete="nickname" autofocus required></p>
    <button class="start">Start</button>
  </form>
  <section class="asking" hidden>
    <p class="progress"></p>
    <div class="stage">
      <img class="left" alt="left image">
      <img class="right" alt="right image">
      <span class="cross">+</span>
    </div>
    <p class="prompt"></p>
    <div class="choices">
      <button class="left" disabled>&larr; Left (F)</button>
      <button class="right" disabled>Right (J) &rarr;</button>
    </div>
  </section>
  <section class="done" hidden>
    <h1>Thank you!</h1>
    <p class="count"></p>
    <p>For another rater, reload the page.</p>
  </section>
  <p class="problem" role="alert"></p>
</main>
"""

# Nothing near the images has a color, and they are surrounded by a medium gray as in ITU-R BT.500,
# since colors are judged against their surround.
CSS = """
.study { color: var(--body-text-color); font-size: 1rem; line-height: 1.5; }
.study [hidden] { display: none; }
.study h1 { font-size: 1.5rem; font-weight: 600; margin: 0.5em 0; }
.study p { margin: 0.6em 0; }
.study kbd {
  border: 1px solid var(--border-color-primary); border-radius: 4px; padding: 0 0.4em;
}
.welcome, .done { max-width: 40rem; margin: 0 auto; }
.welcome label { display: block; }
.welcome input {
  width: 100%; box-sizing: border-box; font-size: 1rem; padding: 0.5em; border-radius: 6px;
  color: inherit; background: var(--input-background-fill);
  border: 1px solid var(--border-color-primary);
}
.study button {
  font-size: 1rem; padding: 0.7em 1.4em; border-radius: 6px; cursor: pointer;
  color: var(--button-primary-text-color); background: var(--button-primary-background-fill);
}
.study button:disabled { opacity: 0.35; cursor: default; }
.progress, .prompt { text-align: center; min-height: 1.5em; }
.stage {
  position: relative; display: flex; justify-content: center; align-items: center; gap: 2%;
  height: min(72vh, 75vw); padding: 1%; box-sizing: border-box; background: #777;
  border-radius: 6px;
}
.stage img { max-width: 49%; max-height: 100%; object-fit: contain; visibility: hidden; }
.stage.shown img { visibility: visible; }
.stage .cross { position: absolute; font-size: 2rem; color: #222; visibility: hidden; }
.stage.waiting .cross { visibility: visible; }
.choices { display: flex; justify-content: center; gap: 2%; }
.choices button {
  flex: 1; max-width: 20rem; color: var(--body-text-color);
  background: var(--button-secondary-background-fill);
}
.problem { color: var(--error-text-color, #b91c1c); text-align: center; }
"""

JAVASCRIPT = """
const PAUSE = 700;  // milliseconds between an answer and the next pair, to look at the cross
const RETRY = 2000;  // milliseconds
const EARLY = 4;  // milliseconds, less than a frame: frames come slightly early or late
const STORED = "scsnet human study";

const find = selector => element.querySelector(selector);
const pause = time => new Promise(resolve => setTimeout(resolve, time));
const nextFrame = () => new Promise(requestAnimationFrame);
const stage = find(".stage");
const [left, right] = stage.querySelectorAll("img");
const buttons = element.querySelectorAll(".choices button");

let rater, question, appeared, shown;
let choosing = false;

function report(problem) {
  find(".problem").textContent = problem;
}

function allowChoice(allowed) {
  choosing = allowed;
  buttons.forEach(button => { button.disabled = !allowed; });
  find(".prompt").textContent = allowed ? "Which one looked more authentic?" : "";
}

// Retries until the server answers, so that nothing is lost while it is away.
async function call(send, message) {
  for (;;) {
    const reply = await send(message);
    if (reply !== undefined) {
      report(reply.problem ?? "");
      return reply;
    }
    report("The server does not answer. Trying again; please leave this page open.");
    await pause(RETRY);
  }
}

async function begin() {
  const reply = await call(server.begin, {rater: find("input").value});
  if (reply.problem) return;
  rater = reply.rater;
  localStorage.setItem(STORED, rater);
  find(".welcome").hidden = true;
  await ask(reply);
}

async function ask(reply) {
  find(".asking").hidden = !reply.left;
  find(".done").hidden = Boolean(reply.left);
  if (!reply.left) {
    find(".done .count").textContent = `All ${reply.total} pairs have your answer.`;
    return;
  }
  question = {left: reply.left, right: reply.right};
  find(".progress").textContent = `${reply.number} of ${reply.total}`;
  stage.classList.add("waiting");
  left.src = props.folder + reply.left;
  right.src = props.folder + reply.right;
  try {
    await Promise.all([left.decode(), right.decode(), pause(PAUSE)]);
  } catch {
    report("The images could not be loaded: reload the page.");
    return;
  }
  await show(1000 * props.seconds);
  allowChoice(true);
}

// Timed by frames, which are what the eye sees; in a background tab there are none, and it waits.
async function show(duration) {
  appeared = await nextFrame();
  stage.classList.replace("waiting", "shown");
  let now = appeared;
  while (now - appeared < duration - EARLY) now = await nextFrame();
  stage.classList.remove("shown");
  shown = now - appeared;
}

async function choose(choice) {
  if (!choosing) return;
  const reaction = (performance.now() - appeared) / 1000;
  allowChoice(false);
  const answer = {rater, ...question, choice, shown: shown / 1000, reaction};
  const reply = await call(server.answer, answer);
  if (!reply.problem) await ask(reply);
}

const CHOICES = {ArrowLeft: "left", KeyF: "left", ArrowRight: "right", KeyJ: "right"};

function onKey(event) {
  if (!element.isConnected) {
    document.removeEventListener("keydown", onKey);
    return;
  }
  const choice = CHOICES[event.code];
  const modified = event.ctrlKey || event.metaKey || event.altKey;
  if (!choice || !choosing || modified || event.repeat) return;
  event.preventDefault();
  choose(choice);
}

find("input").value = localStorage.getItem(STORED) ?? "";
find("form").addEventListener("submit", event => {
  event.preventDefault();
  find(".start").disabled = true;
  begin().finally(() => { find(".start").disabled = false; });
});
buttons.forEach((button, index) => {
  button.addEventListener("click", () => choose(["left", "right"][index]));
});
document.addEventListener("keydown", onKey);
"""
