// Leaves the page at once, by the link or the Escape key, and takes it out of the way back. Without this the link still works.
const exit = document.querySelector('a.exit');
function leave(event) {
  event.preventDefault();
  document.documentElement.hidden = true;
  location.replace(exit.href);
}
if (exit) {
  exit.addEventListener('click', leave);
  addEventListener('keydown', (event) => {
    if (event.key === 'Escape') leave(event);
  });
}
