// The page of what the site keeps, while sizes are being counted: it is loaded again until they are.

const EVERY = 2000; // milliseconds

if (document.querySelector("[data-counting]")) setTimeout(() => location.reload(), EVERY);
