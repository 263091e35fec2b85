// A sample that a worker draws: how far it is; once it is there, the page that lists it.

import { followWork } from "../shared/progress.js";

followWork(document.getElementById("drawing"));
