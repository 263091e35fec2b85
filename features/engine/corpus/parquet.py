"""Which documents are in a parquet file?"""

from pathlib import Path

import pyarrow as arrow
import pyarrow.parquet as parquet

from .documents import CorpusError


def read_parquet_documents(path) -> list[str]:
    """The column `text`, or the only column of strings. Raises CorpusError."""
    try:
        file = parquet.ParquetFile(Path(path))
        column = _column(path, file.schema_arrow)
        # Parquet lies column by column: only this one is read from the disk.
        return [text for text in file.read([column]).column(0).to_pylist() if text is not None]
    except (arrow.ArrowException, OSError) as error:
        raise CorpusError(f"{path} is no whole parquet file: {error}. Copy it again.") from error


def _column(path, schema) -> str:
    texts = [f.name for f in schema if arrow.types.is_string(f.type) or arrow.types.is_large_string(f.type)]
    if "text" in texts:
        return "text"
    if len(texts) != 1:
        raise CorpusError(
            f'{path} has {len(texts)} columns of text and none called "text" (it has: {", ".join(schema.names)}). '
            'Name the column of the text "text".'
        )
    return texts[0]
