"""`manage.py add_corpus TEXT --model FOLDER`: any text, or token ids, as a corpus for the SAEs of a model."""

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from features.importing import corpora, hub_datasets, language_models
from features.management.downloads import TellsDownloads
from features.messages import is_disk_full, sentence

MOST_KINDS = 12  # that are named


class Command(TellsDownloads, BaseCommand):
    help = (
        "Tokenise text (a file or folder of .txt, .jsonl, .json, .csv, .tsv, .parquet; also packed: .gz .bz2 .xz "
        ".zst; a folder that `datasets` saved; or a dataset of the hub: owner/name), or take ids (.npy), as a corpus."
    )

    def add_arguments(self, parser):
        parser.add_argument("path", metavar="TEXT")
        parser.add_argument("--files", default="", metavar="PATTERN", help="Of a dataset: data/train-0000*.parquet ...")
        parser.add_argument("--model", required=True, help="Folder or name of the model whose tokenizer is used.")
        parser.add_argument("--name", default="", help="As it is shown. Default: the file's.")
        parser.add_argument("--slug", default="", help="Short name. Default: made from the file's.")
        parser.add_argument("--licence", default="", metavar="TEXT", help="Where it comes from, and its licence.")
        parser.add_argument("--length", type=int, help="Tokens of a row. Default: 128, or what the model reads.")
        parser.add_argument("--field", default="", help="The field or column of the text: content, meta.text ...")
        parser.add_argument(
            "--kind",
            default="",
            metavar="NAME",
            help="What says a document's kind: folder, file, or a field. Default: folders, or files.",
        )
        parser.add_argument("--special", action="store_true", help="Text that spells a special token is that token.")
        parser.add_argument(
            "--skip-first", type=int, default=0, metavar="N", help="Positions of each row, after BOS, not to count."
        )
        parser.add_argument("--no-bos", action="store_true", help="Rows do not start with BOS.")

    def handle(self, path, model, no_bos, **options):
        given = {name: options[name] for name in ("name", "slug", "licence", "length")}
        given["options"] = corpora.TextOptions(
            options["field"], options["kind"], options["special"], max(0, options["skip_first"])
        )
        try:
            folder = language_models.find(model)
            if hub_datasets.is_dataset(path):
                path, given = self._fetched(path, options["files"], given)
            corpus = corpora.build(path, folder, bos=False if no_bos else None, **given).register()
        except (ValueError, OSError) as error:
            raise CommandError(f"No corpus was added. {sentence(error)}") from error
        except DatabaseError as error:
            if is_disk_full(error):
                raise CommandError(f"No corpus was added. {sentence(error)}") from error
            way_out = "Run `manage.py migrate` first, or `make run`, which does."
            raise CommandError(f"No corpus was added. The database is not ready ({error}). {way_out}") from error
        self.stdout.write(
            f"{corpus.slug}: {corpus.tokens:,} tokens in {corpus.rows:,} rows of {corpus.row_length}"
            f"{', each with BOS in front' if corpus.bos else ''}."
        )
        self._tell_of_documents(corpus)

    def _tell_of_documents(self, corpus):
        if corpus.documents is not None:
            first = list(corpus.kinds)[:MOST_KINDS]
            more = f" and {len(corpus.kinds) - len(first):,} more" if len(corpus.kinds) > len(first) else ""
            ends = f", each ends with {corpus.eos}" if corpus.eos else ""
            self.stdout.write(f"{corpus.documents:,} documents{ends}; kinds: {', '.join(first)}{more}.")
        for note in corpus.notes:
            self.stdout.write(note)

    def _fetched(self, dataset, pattern, given):
        """Where a dataset's texts lie by now, and what is said of them."""
        texts = hub_datasets.fetch_dataset(dataset, pattern, self.received)
        named = {"name": given["name"] or dataset, "licence": given["licence"] or texts.licence}
        return texts.folder, given | named | {"files": texts.files}
