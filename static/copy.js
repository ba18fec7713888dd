// Copy buttons: `data-copy` names the field whose value is copied. They are hidden until this runs, because
// without a script they could do nothing; the field itself can always be selected by hand.
for (const button of document.querySelectorAll("button[data-copy]")) {
  const field = document.getElementById(button.dataset.copy);
  if (!field) continue;
  button.hidden = false;
  const label = button.querySelector("[data-copy-label]");
  const words = label.textContent;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(field.value);
    } catch {
      // Not a secure context, or not allowed: the older way works from within a click.
      field.select();
      document.execCommand("copy");
    }
    label.textContent = "Copied";
    label.setAttribute("role", "status");
    setTimeout(() => { label.textContent = words; }, 2000);
  });
}

// A form that came back with mistakes: bring the reader to the list of them.
document.getElementById("errors")?.focus();
