// optuna-dashboard draws the front without titles of its axes; page.css shows these attributes as such.
const nameAxes = () => {
  const graph = document.getElementById("graph-pareto-front");
  const chosen = graph?.closest(".MuiGrid-container")?.querySelectorAll("[role=combobox]");
  if (chosen?.length !== 2) return;
  graph.setAttribute("data-x-axis", chosen[0].textContent);
  graph.setAttribute("data-y-axis", chosen[1].textContent);
};
new MutationObserver(nameAxes).observe(document, { subtree: true, childList: true, characterData: true });
