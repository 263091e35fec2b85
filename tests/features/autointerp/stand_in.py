"""A language model on this machine's own network: answers as an OpenAI-compatible server does, or as it is told to."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class StandIn:
    """`server.says(question)` -> the text of an answer; `server.behaves(handler)` in its place answers by itself."""

    def __init__(self, says):
        self.says, self.behaves = says, None
        self.asked = []  # [system, data] of each question
        self.headers = []
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                system, user = (message["content"] for message in body["messages"])
                stand_in.asked.append((system, json.loads(user)))
                stand_in.headers.append(dict(self.headers))
                if stand_in.behaves and stand_in.behaves(self):
                    return
                self.answer(200, chat(stand_in.says(json.loads(user))))

            def answer(self, status, content, **headers):
                content = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(status)
                for name, value in {"Content-Length": str(len(content)), **headers}.items():
                    self.send_header(name.replace("_", "-"), value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def labels_asked(self):
        return sum("examples" in data for _, data in self.asked)

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def chat(text):
    usage = {"prompt_tokens": 100, "completion_tokens": 10}
    return {"choices": [{"message": {"role": "assistant", "content": text}}], "usage": usage}


def reads_well(data):
    """Labels by the word that is marked in every example; fits where the text has the word."""
    if "examples" in data:
        marked = {example["active"][0][0].strip() for example in data["examples"]}
        return json.dumps({"label": f"the word {marked.pop()}"})
    word = data["description"].split()[-1]
    return json.dumps({"fits": [int(word in text.split()) for text in data["texts"]]})


def reads_badly(data):
    """Each label is about nothing in particular; what fits is the same for any label."""
    if "examples" in data:
        return json.dumps({"label": f"mood {data['examples'][0]['active'][0][0]}"})
    return json.dumps({"fits": [sum(text.encode()) % 2 for text in data["texts"]]})
