"use strict";
(() => {
  const value = (row, column) => row.cells[column].dataset.value;

  const compare = (a, b) => {
    const numbers = [Number(a), Number(b)];
    return numbers.some(Number.isNaN) ? (a > b) - (a < b) : numbers[0] - numbers[1];
  };

  // Rows without a value come last, whichever way the others go.
  const order = (column, sign) => (one, other) => {
    const [a, b] = [value(one, column), value(other, column)];
    if (a === "" || b === "") return (a === "") - (b === "");
    return sign * compare(a, b);
  };

  const sort = (table, heading) => {
    const ascending = heading.getAttribute("aria-sort") !== "ascending";
    for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
    heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    const body = table.tBodies[0];
    body.append(...[...body.rows].sort(order(heading.cellIndex, ascending ? 1 : -1)));
  };

  const field = (text) => {
    // A spreadsheet would take a text that begins so for a formula.
    const safe = /^[=+\-@\t\r]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text;
    return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };

  const csv = (table) => {
    const head = [...table.tHead.rows[0].cells].map((cell) => cell.dataset.name);
    const rows = [...table.tBodies[0].rows].map((row) => [...row.cells].map((c) => c.dataset.value));
    return [head, ...rows].map((row) => `${row.map(field).join(",")}\r\n`).join("");
  };

  const download = (table) => {
    const url = URL.createObjectURL(new Blob([csv(table)], { type: "text/csv;charset=utf-8" }));
    const link = document.createElement("a");
    link.href = url;
    link.download = `adarank-${table.dataset.file}.csv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
  };

  for (const table of document.querySelectorAll("table.sortable")) {
    for (const heading of table.tHead.rows[0].cells) {
      heading.querySelector("button").addEventListener("click", () => sort(table, heading));
    }
  }
  for (const button of document.querySelectorAll("button[data-table]")) {
    button.addEventListener("click", () => download(document.getElementById(button.dataset.table)));
  }
})();
