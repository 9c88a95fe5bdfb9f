"""What kind of file it is, as a label in upper case."""

from __future__ import annotations

import posixpath

UNKNOWN = "UNKNOWN"
LEVELS = ("0", "1", "2", "3", "User", "Reference", "Unknown")
"""How far data was processed, from raw data on."""
UNKNOWN_LEVEL = LEVELS[-1]
# Label: the extensions of such files, where they are not the label itself
_EXTENSIONS = {
    "AB1": "ab1",
    "BAI": "bai",
    "BAM": "bam",
    "BED": "bed",
    "CSV": "csv",
    "DOCX": "docx",
    "FASTA": "fasta fa fna faa ffn fas",
    "FASTQ": "fastq fq",
    "FCS": "fcs",
    "GENBANK": "gb gbk genbank",
    "GFF": "gff gff3",
    "GTF": "gtf",
    "GZIP": "gz",
    "HDF5": "h5 hdf5",
    "HTML": "html htm",
    "JPEG": "jpg jpeg",
    "JSON": "json",
    "LOG": "log out err",
    "MARKDOWN": "md",
    "MD5": "md5",
    "MZML": "mzml",
    "PARQUET": "parquet",
    "PDF": "pdf",
    "PLAIN": "txt text",
    "PNG": "png",
    "PYTHON": "py",
    "RDATA": "rdata rds",
    "SAM": "sam",
    "SBOL": "sbol",
    "SHA256": "sha256",
    "SHELL": "sh",
    "SVG": "svg",
    "TAR": "tar tgz",
    "TIFF": "tif tiff",
    "TSV": "tsv tab",
    "VCF": "vcf",
    "XLSX": "xlsx",
    "XML": "xml",
    "YAML": "yaml yml",
    "ZIP": "zip",
}
LABELS = tuple(_EXTENSIONS)
_BY_EXTENSION = {name: label for label, names in _EXTENSIONS.items() for name in names.split()}
_COMPRESSED = ("gz", "bz2", "xz", "zst")
_MIME_LABELS = {
    "application/gzip": "GZIP",
    "application/json": "JSON",
    "application/pdf": "PDF",
    "application/x-hdf5": "HDF5",
    "application/x-tar": "TAR",
    "application/zip": "ZIP",
    "image/jpeg": "JPEG",
    "image/png": "PNG",
    "image/svg+xml": "SVG",
    "image/tiff": "TIFF",
    "text/csv": "CSV",
    "text/html": "HTML",
    "text/plain": "PLAIN",
    "text/xml": "XML",
}


def by_name(name: str) -> str:
    """Return the label of a file name; of one that is compressed, that of what is inside."""
    stem, _, extension = posixpath.basename(name).lower().rpartition(".")
    inner = stem.rpartition(".")[2] if "." in stem else ""
    if extension in _COMPRESSED and inner in _BY_EXTENSION:
        return _BY_EXTENSION[inner]
    return _BY_EXTENSION.get(extension, UNKNOWN) if stem else UNKNOWN


def by_content(name: str, head: bytes) -> str:
    """Return the label of a file by its name, else by how it begins, if python-magic is there."""
    label = by_name(name)
    if label != UNKNOWN or not head:
        return label
    try:
        import magic  # noqa: PLC0415 - optional
    except ImportError:
        return label
    return _MIME_LABELS.get(magic.from_buffer(head, mime=True), UNKNOWN)
