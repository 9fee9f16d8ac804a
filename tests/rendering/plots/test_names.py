"""Names in figures are short, and no two of one report look alike."""

import dataclasses

from kernelscope.rendering.plots.names import MOST, names_in_figures
from kernelscope.report.report import TransferReport
from tests.report.sample_reports import full_report


def named(*students: str) -> list[str]:
    pair = full_report().pairs[0]
    pairs = tuple(dataclasses.replace(pair, student=student) for student in students)
    found = names_in_figures(TransferReport({}, (), pairs))
    return [found[student] for student in students]


def test_a_name_with_room_stays_as_it_is():
    assert named("out/kda.pt", "out/ce.safetensors") == ["kda.pt", "ce.safetensors"]


def test_a_long_name_loses_its_suffix_before_its_middle():
    assert named("out/student_seven.safetensors") == ["student_seven"]
    assert named("a_resnet_of_a_very_long_name.pt") == ["a_res…_long_name"]


def test_students_of_one_naming_are_told_apart():
    found = named(*(f"run/student_{i:02d}_of_twenty_at_temperature_4.safetensors" for i in range(20)))
    assert len(set(found)) == 20 and max(map(len, found)) <= MOST
    assert found[7] == "…nt_07_of_twent…"
