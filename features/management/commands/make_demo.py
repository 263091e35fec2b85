"""How is the demo bundle trained? `manage.py make_demo --corpus DIR --out DIR`. Killed at any moment, it goes on where
it was."""

from pathlib import Path

from django.core.management.base import BaseCommand, CommandError


class Command(BaseCommand):
    help = "Trains the demo's tokenizer, language model and sparse autoencoder. Resumable at any moment."
    requires_system_checks = ()

    def add_arguments(self, parser):
        parser.add_argument("--corpus", type=Path, required=True, help="folder of .jsonl, .jsonl.xz, .txt files")
        parser.add_argument("--out", type=Path, required=True, help="folder for work and the bundle")
        parser.add_argument("--held-out", type=Path, help="token rows (.npy): never trained on, measured on")
        parser.add_argument(
            "--measured-on", type=Path, help="folder of the texts that the site shows: not trained on, but measured on"
        )
        parser.add_argument("--without", nargs="+", default=(), metavar="SOURCE", help="sources not to train on")
        parser.add_argument("--model", type=Path, help="folder of a finished model: only an SAE is trained, on it")
        parser.add_argument("--tokenizer", type=Path, help="a tokenizer.json; without it one is trained")
        parser.add_argument(
            "--model-tokens",
            type=int,
            default=60_000_000,
            help="read by the model, in several passes where the text is shorter",
        )
        parser.add_argument("--sae-tokens", type=int, default=20_000_000, help="read by the SAE")
        parser.add_argument("--features", type=int, default=4096, help="width of the SAE")
        parser.add_argument("--k", type=float, default=45.0, help="features a token, on average")
        parser.add_argument("--workers", type=int, default=2, help="threads; 1 on a GPU")
        parser.add_argument("--device", default="cpu", help="cpu or cuda")
        parser.add_argument("--seed", type=int, default=0)
        parser.add_argument("--nice", type=int, default=19, help="0 to compete with other programs")

    def handle(self, **options):
        from features.demo.making import pipeline

        pipeline.announce(options["out"], options["nice"])
        try:
            folder = pipeline.make(self.plan(options), self.say)
        except (ValueError, FileNotFoundError) as error:
            raise CommandError(str(error)) from error
        self.say(f"The bundle is in {folder}")

    def plan(self, options):
        from features.demo.making import pipeline, train_model, train_sae

        common = {name: options[name] for name in ("seed", "workers", "device")}
        paths = {name: options[name] for name in ("corpus", "out", "held_out", "tokenizer", "measured_on")}
        return pipeline.Plan(
            **paths,
            without=tuple(options["without"]),
            given_model=options["model"],
            model=train_model.ModelSettings(tokens=options["model_tokens"], **common),
            sae=train_sae.SAESettings(
                tokens=options["sae_tokens"], features=options["features"], k=options["k"], **common
            ),
        )

    def say(self, line):
        self.stdout.write(line)
        self.stdout.flush()
