from __future__ import annotations

import pytest

from datacatalog import filetypes


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("/a/b.csv", "CSV"),
        ("b.TSV", "TSV"),
        ("b.json", "JSON"),
        ("b.fastq", "FASTQ"),
        ("b.fastq.gz", "FASTQ"),
        ("b.fq.bz2", "FASTQ"),
        ("b.fa", "FASTA"),
        ("b.fasta", "FASTA"),
        ("b.bam", "BAM"),
        ("b.sorted.bam.bai", "BAI"),
        ("b.sam", "SAM"),
        ("b.fcs", "FCS"),
        ("b.gff", "GFF"),
        ("b.vcf.gz", "VCF"),
        ("b.pdf", "PDF"),
        ("b.png", "PNG"),
        ("b.html", "HTML"),
        ("b.txt", "PLAIN"),
        ("b.md5", "MD5"),
        ("b.zip", "ZIP"),
        ("b.gz", "GZIP"),
        ("b.tacos.gz", "GZIP"),
        ("b.tacos", "UNKNOWN"),
        ("csv", "UNKNOWN"),
        ("/a.csv/b", "UNKNOWN"),
        (".csv", "UNKNOWN"),
        ("b.", "UNKNOWN"),
        ("", "UNKNOWN"),
    ],
)
def test_the_name_tells_the_type(name: str, label: str) -> None:
    assert filetypes.by_name(name) == label
    assert filetypes.by_content(name, b"") == label


def test_the_name_counts_more_than_the_content() -> None:
    assert filetypes.by_content("b.csv", b"%PDF-1.7\n") == "CSV"


def test_the_content_tells_what_the_name_does_not_where_magic_is_installed() -> None:
    try:
        import magic  # noqa: F401 - whether it is there
    except ImportError:
        expected = "UNKNOWN"
    else:
        expected = "PDF"
    assert filetypes.by_content("b.tacos", b"%PDF-1.7\n") == expected
