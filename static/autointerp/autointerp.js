// The page of labels by a language model: how far the newest job is, and a fresh page once it has ended.

import { watchWork } from "../shared/progress.js";

const reload = () => location.reload();
watchWork(document.getElementById("labelling"), { ended: reload });
