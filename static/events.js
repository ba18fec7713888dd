// The event log while somebody looks at it: what happens is put on top of the page that is there already. All of it is
// set as text: what stands in an event never becomes markup.
const most = 200;
const box = document.querySelector("[data-events-stream]");
if (box) follow(box);

function follow(box) {
  const rows = box.querySelector("[data-events-rows]");
  const line = box.querySelector("template[data-events-template]").content;
  const status = box.querySelector("[data-events-status]");
  const source = new EventSource(box.dataset.eventsStream);

  source.addEventListener("open", () => {
    status.hidden = false;
  });
  source.addEventListener("error", () => {
    status.hidden = true;
  });
  source.addEventListener("row", (event) => {
    const told = JSON.parse(event.data);
    if (rows.querySelector(`[data-event="${CSS.escape(told.id)}"]`)) return;
    rows.prepend(draw(line, told));
    while (rows.children.length > most) rows.lastElementChild.remove();
    box.querySelector("[data-events-empty]").hidden = true;
    box.querySelector("[data-events-table]").hidden = false;
  });
  // Not allowed any more, or too far behind: the page itself says what is the case.
  for (const end of ["over", "gone"]) {
    source.addEventListener(end, () => {
      source.close();
      status.hidden = true;
    });
  }
}

function draw(line, told) {
  const row = line.querySelector("tr").cloneNode(true);
  row.dataset.event = told.id;
  const [head, about, project, actor] = row.children;
  const link = head.querySelector("a");
  link.href += told.id;
  link.textContent = told.kind;
  if (!told.is_sample) head.querySelector(".mg-tag").remove();
  head.querySelector(".mg-sub").textContent = told.about;
  const subject = about.querySelector("a");
  const plain = about.querySelector("span");
  if (told.subject_href.startsWith("/")) {
    subject.href = subject.getAttribute("href") + told.subject_href.slice(1);
    subject.textContent = told.subject;
    plain.remove();
  } else {
    plain.textContent = told.subject;
    subject.remove();
  }
  if (told.project) project.textContent = told.project;
  actor.textContent = told.actor;
  const time = row.querySelector("time");
  time.dateTime = told.at.iso;
  time.title = told.at.exact;
  time.textContent = told.at.text;
  return row;
}
