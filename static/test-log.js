// Live connection test. The page already shows the steps known when it was made; the event stream adds to them.
// A step replaces the line of the same name, so a stream that starts over does no harm. All text is set as
// text: what a mail server says never becomes markup.
for (const box of document.querySelectorAll("[data-test][data-events]")) watch(box);

function watch(box) {
  const list = box.querySelector("[data-test-steps]");
  const lines = box.querySelector("template[data-test-template]").content;
  const badges = box.querySelector("template[data-badge-template]").content;
  const source = new EventSource(box.dataset.events);

  source.addEventListener("step", (event) => {
    const step = JSON.parse(event.data);
    const line = draw(lines, step);
    if (!line) return;
    const old = [...list.children].find((item) => item.dataset.step === step.name);
    if (old) old.replaceWith(line);
    else list.append(line);
  });

  source.addEventListener("done", (event) => {
    source.close();
    const verdict = JSON.parse(event.data);
    const badge = badges.querySelector(`.mg-tone-${CSS.escape(verdict.tone)}`)?.cloneNode(true);
    if (badge) {
      badge.append(verdict.word);
      box.querySelector("[data-test-state]").replaceChildren(badge);
    }
    box.querySelector("[data-test-summary]").textContent = verdict.summary;
    box.querySelector("[data-test-reload]")?.remove();
    for (const later of document.querySelectorAll("[data-after-test]")) later.hidden = false;
  });
}

function draw(lines, step) {
  const line = lines.querySelector(`[data-for="${CSS.escape(step.state)}"]`)?.cloneNode(true);
  if (!line) return null;
  line.removeAttribute("data-for");
  line.dataset.step = step.name;
  line.querySelector(".mg-step-line strong").textContent = step.title;
  line.querySelector(".mg-step-ms").textContent = step.ms == null ? "" : `${step.ms} ms`;
  line.querySelector(".mg-step-detail").textContent = step.detail ?? "";
  const cause = line.querySelector(".mg-step-cause");
  if (step.cause) cause.textContent = step.cause;
  else cause.remove();
  const remedy = line.querySelector(".mg-step-remedy");
  if (step.remedy) remedy.replaceChildren(remedy.querySelector("strong"), ` ${step.remedy}`);
  else remedy.remove();
  return line;
}
