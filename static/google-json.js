// Google's console offers the client as a JSON file. Dropping or choosing it fills the form; the file never
// leaves the browser except as these fields. Its list of redirect URLs is compared with ours at once, because a
// missing one is the most common reason for Google's "redirect_uri_mismatch".
const zone = document.querySelector("[data-google-json]");
if (zone) {
  const say = zone.querySelector("[data-google-json-status]");
  const file = zone.querySelector("input[type=file]");
  zone.hidden = false;
  file.addEventListener("change", () => read(file.files[0]));
  zone.addEventListener("dragover", (event) => {
    event.preventDefault();
    zone.classList.add("mg-drop-over");
  });
  zone.addEventListener("dragleave", () => zone.classList.remove("mg-drop-over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("mg-drop-over");
    read(event.dataTransfer.files[0]);
  });

  async function read(chosen) {
    if (!chosen) return;
    if (chosen.size > 65536) return tell("That file is too large to be Google's client file.");
    let client;
    try {
      const content = JSON.parse(await chosen.text());
      client = content.web ?? content.installed;
    } catch {
      return tell("That file is not JSON. Download the client again in Google's console.");
    }
    if (!client?.client_id || !client?.client_secret) {
      return tell("That file holds no client. Choose the one that Google's console offers beside the client, not a service account's.");
    }
    fill("client_id", client.client_id);
    fill("client_secret", client.client_secret);
    const ours = document.getElementById("redirect_url")?.value;
    if (ours && !(client.redirect_uris ?? []).includes(ours)) {
      return tell("Filled in. This client does not list our redirect URL yet: add it in Google's console before you connect.");
    }
    tell("Filled in. Our redirect URL is registered.");
  }

  function fill(id, value) {
    const field = document.getElementById(id);
    if (field) field.value = value;
  }

  function tell(text) {
    say.textContent = text;
  }
}
