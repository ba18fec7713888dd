// Keeps regions marked with `data-live` fresh without reloading the page: the same page is fetched again and a
// region whose content changed is swapped. A region that holds the focus, an open `details` or a tick is left alone, and
// nothing happens while the page is hidden.
const every = 5000;

async function refresh() {
  if (document.hidden) return;
  let answer;
  try {
    answer = await fetch(location.href, { headers: { accept: "text/html", "x-mailgrant-live": "1" }, redirect: "error" });
  } catch {
    return;
  }
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const region of document.querySelectorAll("[data-live][id]")) {
    const next = fresh.getElementById(region.id);
    if (!next || region.innerHTML === next.innerHTML) continue;
    if (region.contains(document.activeElement) || region.querySelector("details[open], :checked")) continue;
    region.replaceChildren(...next.childNodes);
  }
}

setInterval(refresh, every);
