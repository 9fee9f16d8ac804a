"""JUnit XML is well formed whatever names hold, and has one case for each gate."""

from xml.etree import ElementTree

from kernelscope.report.gates import Judged
from kernelscope.report.junit import junit


def test_every_gate_is_a_case_and_failures_are_counted():
    judged = [Judged("cka", "s.pt, fc=fc", None, ""), Judged("cka", "t.pt, fc=fc", "FAILED cka >= 0.9: is 0.2", "")]
    root = ElementTree.fromstring(junit(judged).encode())
    (suite,) = root
    assert (root.tag, suite.tag, suite.get("tests"), suite.get("failures")) == ("testsuites", "testsuite", "2", "1")
    passed, failed = suite
    assert (passed.get("classname"), passed.get("name"), len(passed)) == ("s.pt, fc=fc", "cka", 0)
    assert failed.find("failure").get("message") == "FAILED cka >= 0.9: is 0.2"


def test_names_that_xml_has_no_place_for_are_written_without_it():
    text = junit([Judged('<&">\x00\x1b\ud800', "a]]>\u202e\x85", "\n\ufffe", "")])
    (case,) = ElementTree.fromstring(text.encode()).iter("testcase")
    assert case.get("name").startswith('<&">') and case.get("classname").startswith("a]]>")
