"""Databases of PhysioNet with atrial fibrillation, downloaded from its static files."""

import os
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from atml.ecg.provenance import Source
from atml.ecg.sources.download import download
from atml.errors import DataError
from atml.files import write_text

PHYSIONET = "https://physionet.org/files"
VERSION = "1.0.0"  # of every database below
CHECKSUMS, ATTRIBUTION = "SHA256SUMS.txt", "ATTRIBUTION.md"
_ENDINGS = (".hea", ".dat", ".atr")
_PHYSIONET_CITATION = (
    "Goldberger AL, Amaral LAN, Glass L, et al. PhysioBank, PhysioToolkit, and PhysioNet. "
    "Circulation 2000;101(23):e215-e220."
)
_ODC_BY = "Open Data Commons Attribution License v1.0 (ODC-By 1.0)"


# Titles, licences, citations, and patterns whose first group is the person.
DATABASES = {
    "afdb": Source(
        origin="MIT-BIH Atrial Fibrillation Database",
        licence=_ODC_BY,
        citation="Moody GB, Mark RG. A new method for detecting atrial fibrillation using R-R intervals. "
        "Computers in Cardiology 1983;10:227-230.",
        subject_pattern="([0-9]+)$",
    ),
    "ltafdb": Source(
        origin="Long-Term AF Database",
        licence=_ODC_BY,
        citation="Petrutiu S, Sahakian AV, Swiryn S. Abrupt changes in fibrillatory wave characteristics at "
        "the termination of paroxysmal atrial fibrillation in humans. Europace 2007;9:466-470.",
        subject_pattern="([0-9]+)$",
    ),
    "cpsc2021": Source(
        origin="Paroxysmal Atrial Fibrillation Events Detection from Dynamic ECG Recordings: The 4th China "
        "Physiological Signal Challenge 2021",
        licence="Creative Commons Attribution 4.0 International (CC BY 4.0)",
        citation="Wang X, Ma C, Zhang X, Gao H, Clifford GD, Liu C. Paroxysmal Atrial Fibrillation Events "
        "Detection from Dynamic ECG Recordings: The 4th China Physiological Signal Challenge 2021. "
        "PhysioNet 2021.",
        subject_pattern="data_([0-9]+)_[0-9]+$",  # data_PATIENT_RECORD
    ),
}


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """A downloaded database."""

    directory: Path  #: Where its files are.
    database: str  #: Its name.
    files: int  #: Number of files.
    records: int  #: Number of recordings.
    downloaded_bytes: int  #: Bytes downloaded by this call.
    licence: str  #: Its licence.


def fetch_recordings(
    database: str,
    out: str | Path,
    *,
    base_url: str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Fetched:
    """Download a PhysioNet database: signals, headers, rhythm annotations and licence.

    Each file is compared with its SHA-256 checksum. Call it again after an interruption: finished files are
    kept, and an unfinished one continues where it broke off. `ATTRIBUTION.md` says how to cite the database.

    Args:
        database: `afdb`, `ltafdb` or `cpsc2021`.
        out: Directory for the files.
        base_url: Where the databases are; by default `ATML_PHYSIONET` or https://physionet.org/files.
        progress: Called with (files done, files in total).

    Raises:
        DataError: there is no such database, the server cannot be reached, or a checksum is wrong.
        CannotWrite: the directory cannot be written.
    """
    if database not in DATABASES:
        raise DataError(f"no database {database}; there are {', '.join(DATABASES)}.")
    one, directory = DATABASES[database], Path(out)
    top = base_url or os.environ.get("ATML_PHYSIONET") or PHYSIONET
    if not top.startswith(("https://", "http://")):
        raise DataError(f"{top} is not a web address; it must begin with https:// or http://.")
    url = f"{top.rstrip('/')}/{database}/{VERSION}"
    source = replace(
        one,
        origin=f"{one.origin}, version {VERSION}, {url}/",
        citation=f"{one.citation} {_PHYSIONET_CITATION}",
        complete=False,
    )
    bytes_ = download(f"{url}/{CHECKSUMS}", directory / CHECKSUMS)
    sums = _checksums(directory / CHECKSUMS)
    source.write(directory)
    write_text(directory / ATTRIBUTION, _attribution(source))
    bytes_ += download(f"{url}/RECORDS", directory / "RECORDS", sums.get("RECORDS"))
    records = (directory / "RECORDS").read_text(encoding="utf-8").split()
    wanted = [record + ending for record in records for ending in _ENDINGS if record + ending in sums]
    wanted += ["LICENSE.txt"] if "LICENSE.txt" in sums else []
    for done, name in enumerate(wanted, start=1):
        bytes_ += download(f"{url}/{urllib.parse.quote(name)}", directory / name, sums[name])
        progress(done, len(wanted))
    replace(source, complete=True).write(directory)
    return Fetched(
        directory=directory,
        database=database,
        files=len(wanted),
        records=len(records),
        downloaded_bytes=bytes_,
        licence=one.licence,
    )


def _checksums(path: Path) -> dict[str, str]:
    """Return file → SHA-256, without names that lead out of the directory."""
    sums = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        checksum, _, name = line.strip().partition(" ")
        name = name.strip().removeprefix("*").removeprefix("./")
        parts = PurePosixPath(name).parts
        if len(checksum) == 64 and parts and not name.startswith("/") and ".." not in parts:
            sums[name] = checksum.lower()
    if "RECORDS" not in sums:
        path.unlink()
        raise DataError(f"{CHECKSUMS} of the server does not list RECORDS; check the address.")
    return sums


def _attribution(source: Source) -> str:
    return (
        f"# {source.origin}\n\n"
        f"Licence: {source.licence}. LICENSE.txt has its text as published; if they differ, that text "
        f"is right.\n\nCite: {source.citation}\n"
    )
