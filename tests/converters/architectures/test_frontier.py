"""The zoo of PyTorch's packages: names that say where they are from, of networks that can be converted together."""

from __future__ import annotations

from pathlib import Path

from ondevice.converters import beforehand
from ondevice.converters.architectures import frontier
from ondevice.converters.job import ConversionJob
from ondevice.converters.sources import factory


def test_each_is_a_packages_and_has_a_name_of_its_own(tmp_path: Path) -> None:
    assert all(map(factory.is_library, frontier.SOURCES))
    beforehand.check([ConversionJob(source, str(tmp_path), weights="none") for source in frontier.SOURCES])


def test_what_is_not_installed_is_asked_for_by_what_the_networks_run_in(tmp_path: Path) -> None:
    jobs = [ConversionJob(source, str(tmp_path), weights="none") for source in ("resnet_v2_50", "nets:build")]
    assert beforehand.extras(jobs[:1]) == [("convert", "tensorflow", "ai-edge-quantizer")]
    assert [extra for extra, *_ in beforehand.extras(jobs)] == ["convert", "torch"]
    assert beforehand.extras([ConversionJob("resnet_v2_5", str(tmp_path))]) == []
