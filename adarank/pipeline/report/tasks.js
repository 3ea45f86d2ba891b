"use strict";
(() => {
  // Only one task's figures are shown at a time; on paper, and by choice, all of them.
  const choice = document.getElementById("task-choice");
  if (!choice) return;
  const show = () => {
    for (const part of document.querySelectorAll("div.task")) {
      part.hidden = choice.value !== "" && part.id !== `task-${choice.value}`;
    }
    dispatchEvent(new Event("taskshown"));
  };
  choice.addEventListener("change", show);
  addEventListener("beforeprint", () => {
    for (const part of document.querySelectorAll("div.task")) part.hidden = false;
  });
  addEventListener("afterprint", show);
  show();
})();
