"""What list, get, why, graph, timeline and events show."""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ET
from datetime import timedelta
from pathlib import Path

import pytest

from observatory.api.names import CONTROLLER_REVISIONS, EVENTS, OBSERVATORIES, Key
from observatory.api.types import JsonObject
from observatory.cli import events, get, graph, timeline
from observatory.cli.cluster import CommandError
from observatory.cli.layers import layers
from observatory.cli.list import listing
from observatory.cli.main import main
from observatory.cli.reading import every, fetch, seen, write_objects
from observatory.cli.style import Screen, styled
from observatory.cli.view import glance, view_of
from observatory.cli.why import explained
from observatory.simulation.apiserver import ApiServer
from tests.cli.views import NOW, Ascii, Utf8, failed, plain, running, scheduled, screen, view
from tests.runtime.world import KEY, World, observatory, task

Output = pytest.CaptureFixture[str]


# --- list -------------------------------------------------------------------------------------


def test_a_list_has_a_line_for_each_workflow() -> None:
    views = [glance(failed()), glance(running())]
    lines = listing(views, NOW, namespaces=False, wide=False, titles=True)
    assert plain(lines) == (
        "NAME  PHASE    PROGRESS  DURATION  AGE   MESSAGE\n"
        'etl   Failed   2/4       40s       1m0s  Task "load" failed: Error (exit code 3): '
        "no such table\n"
        "etl   Running  1/4       1m0s      1m0s  ImagePull: load: no such image"
    )


def test_a_wide_list_of_all_namespaces_says_more() -> None:
    lines = listing([glance(scheduled())], NOW, namespaces=True, wide=True, titles=False)
    assert plain(lines).split() == [
        *("default", "nightly", "Failed", "-", "-", "1m0s"),
        *("1", "2026-01-02T03:00:00Z", "-"),
    ]


# --- get --------------------------------------------------------------------------------------


def test_the_tree_has_each_task_below_the_last_of_what_it_depends_on() -> None:
    assert plain(get.tree(view(), screen(), NOW)) == (
        "└─ ✔ extract        Succeeded      10s\n"
        "   ├─ ✖ load        Failed         30s  attempt 2, Error (exit code 3): no such table\n"
        "   └─ ✔ check       Succeeded       5s\n"
        "      └─ ○ publish  Skipped             DependencyFailed: "
        'Task "load", which it depends on, failed'
    )


def test_where_there_are_no_signs_words_and_ascii_do() -> None:
    text = plain(get.tree(view(), Screen("never", Ascii()), NOW))
    assert text.isascii()
    assert text.splitlines()[0].startswith("`- + extract")


def test_the_page_begins_with_the_facts() -> None:
    assert plain(get.page(view(), screen(), NOW)).splitlines()[:9] == [
        "Name:      etl",
        "Namespace: default",
        "Phase:     Failed",
        'Message:   Task "load" failed: Error (exit code 3): no such table',
        "Run:       1",
        "Started:   2026-01-01T00:00:00Z",
        "Finished:  2026-01-01T00:00:40Z",
        "Duration:  40s",
        "Progress:  2/4",
    ]


def test_the_page_of_a_schedule_has_its_runs() -> None:
    text = plain(get.page(view(scheduled()), screen(), NOW))
    assert "Next:      2026-01-02T03:00:00Z" in text
    assert "Failed     nightly-202601010000-x  20s  TaskFailed" in text
    assert "More: observatory get nightly-202601010000-x -n default" in text


def test_in_a_pipe_each_change_is_a_line_once() -> None:
    known: dict[str, tuple[str, str]] = {}
    assert plain(get.changes(view(running()), known)) == (
        "extract: Succeeded\nload: Running  ImagePull: no such image\ncheck: Running"
    )
    assert get.changes(view(running()), known) == []
    assert plain(get.changes(view(), known)).splitlines()[-1].startswith("publish: Skipped")


def test_a_run_is_over_when_the_one_that_the_spec_asks_for_has_ended() -> None:
    assert get.over(view())
    assert not get.over(view(running()))
    edited = failed()
    edited["metadata"]["generation"] = 2
    assert not get.over(view(edited))
    assert (get.exit_code(view()), get.exit_code(view(running()))) == (1, 1)


def test_a_chain_of_thousands_is_no_problem() -> None:
    names = [f"t{number}" for number in range(3000)]
    tasks = [task(name, *names[max(at - 1, 0) : at]) for at, name in enumerate(names)]
    made = observatory("chain", *tasks)
    made["metadata"] |= {"uid": "u", "generation": 1}
    lines = get.tree(view(made), screen(), NOW)
    assert [line.plain.split()[2] for line in lines[-2:]] == ["t2998", "t2999"]


@pytest.mark.parametrize("name", ["\x1b[31mred", "[bold]x[/bold]", "a\nb"])
def test_nothing_in_a_text_styles_moves_or_breaks_the_output(name: str) -> None:
    stream = Utf8()
    Screen("always", stream).print([styled(name)])
    out = stream.getvalue()
    assert out.count("\n") == 1
    assert "\x1b[31m" not in out
    assert out.strip() == styled(name).plain


def test_colour_is_for_terminals_and_for_those_who_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    def shown(color: str) -> str:
        stream = Utf8()
        Screen(color, stream).print([styled("x", "red")])
        return stream.getvalue()

    assert shown("auto") == "x\n"
    assert shown("always") != "x\n"
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert shown("auto") != "x\n"
    monkeypatch.setenv("NO_COLOR", "1")
    assert shown("auto") == "x\n"
    assert shown("never") == "x\n"


# --- why --------------------------------------------------------------------------------------


def test_why_tells_what_failed_first_what_followed_and_what_to_do() -> None:
    lines, code = explained(view(), NOW)
    assert code == 1
    assert plain(lines).splitlines() == [
        "etl failed after 40s.",
        '  First, task "load", attempt 2, failed: Error (ApplicationError, exit code 3)',
        "  at 2026-01-01T00:00:40Z in etl-load-2-x on node-1",
        "    | connecting",
        "    | no such table",
        "  Attempt 1 had failed: Error",
        "  Skipped because of that: publish",
        "What to do: see its output: observatory logs etl load -n default",
        "Then run again what failed: observatory retry etl -n default",
    ]


def test_why_tells_what_a_run_waits_for() -> None:
    lines, code = explained(view(running()), NOW)
    assert code == 1
    assert plain(lines).splitlines() == [
        "etl is running for 1m0s: 1/4 tasks have succeeded.",
        '  Task "check" has been running for 50s.',
        '  Task "load" waits for 30s (ImagePull): no such image',
        "What to do: check the name of the image, and the right to pull it",
        '  Task "publish" waits (what they depend on)',
    ]


def test_why_of_a_schedule_names_its_next_run_and_the_one_that_failed() -> None:
    lines, code = explained(view(scheduled()), NOW)
    assert code == 1
    assert plain(lines).splitlines() == [
        "nightly begins its next run at 2026-01-02T03:00:00Z.",
        "  The latest run failed: nightly-202601010000-x: TaskFailed",
        "What to do: observatory why nightly-202601010000-x -n default",
    ]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"status": {}}, "No operator has seen etl yet."),
        ({"status": {"phase": 7}}, "status"),
        (
            {"spec": {"tasks": [task("a", "b")]}, "status": {}},
            "etl cannot run: its spec is invalid.",
        ),
        ({"spec": {"tasks": [task("a")], "suspend": True}, "status": {}}, "etl is suspended"),
    ],
)
def test_why_something_has_not_begun(change: JsonObject, words: str) -> None:
    lines, code = explained(view({**failed(), **change}), NOW)
    assert code == 1
    assert words in plain(lines)


def test_nothing_is_wrong_with_what_succeeded() -> None:
    made = failed()
    made["status"] |= {"phase": "Succeeded", "progress": "4/4"}
    lines, code = explained(view(made), NOW)
    assert (plain(lines), code) == ("etl succeeded: 4/4 tasks in 40s.", 0)


# --- graph ------------------------------------------------------------------------------------


def test_a_task_is_in_the_layer_after_the_last_of_what_it_depends_on() -> None:
    dependencies: dict[str, list[str]] = {"a": [], "b": ["a"], "c": ["a", "b"], "d": []}
    assert layers(dependencies, list("abcd")) == [["a", "d"], ["b"], ["c"]]


def test_layers_are_ordered_so_that_few_lines_cross() -> None:
    dependencies: dict[str, list[str]] = {"a": [], "b": [], "x": ["b"], "y": ["a"]}
    assert layers(dependencies, ["a", "b", "x", "y"]) in (
        [["a", "b"], ["y", "x"]],
        [["b", "a"], ["x", "y"]],
    )


def test_the_graph_as_text() -> None:
    assert plain(graph.plain(view(), screen())) == (
        "  1  ✔ extract\n"
        "  2  ✖ load  ← extract\n"
        "     ✔ check  ← extract\n"
        "  3  ○ publish  ← load, check"
    )


def test_the_graph_for_mermaid_and_graphviz() -> None:
    lines = graph.mermaid(view()).splitlines()
    assert lines[:5] == [
        "flowchart TD",
        '  t0["extract"]:::Succeeded',
        '  t1["load"]:::Failed',
        "  t0 --> t1",
        '  t2["check"]:::Succeeded',
    ]
    drawn = graph.dot(view())
    assert drawn.startswith('digraph "etl" {')
    assert '"load" -> "publish"' in drawn


def test_the_drawing_is_svg_with_a_box_for_each_task_and_a_line_for_each_dependency() -> None:
    root = ET.fromstring(graph.drawn(view(), NOW))  # noqa: S314 -- our own
    names = [each.tag.rpartition("}")[2] for each in root.iter()]
    assert names.count("rect") == 1 + 4
    assert names.count("path") == 4
    texts = [each.text for each in root.iter() if each.tag.endswith("}text")]
    assert sorted(map(str, texts)) == ["check", "extract", "load", "publish"]
    titles = [each.text for each in root.iter() if each.tag.endswith("}title")]
    assert titles[0] == "Tasks of default/etl, Failed"


def test_texts_in_a_drawing_are_escaped() -> None:
    made = failed()
    made["status"]["tasks"][1]["message"] = "<script>alert('&')</script>"
    drawn = graph.drawn(view(made), NOW)
    assert "<script>" not in drawn
    ET.fromstring(drawn)  # noqa: S314 -- our own


INVALID = """
apiVersion: workflow.seventh-horizon.io/v1alpha1
kind: Observatory
metadata: {name: x}
spec: {tasks: [{name: a, image: b, dependencies: [c]}]}
"""
SAMPLES = Path(__file__).parents[2] / "manifests" / "samples"


@pytest.mark.parametrize("output", ["text", "svg", "dot", "mermaid"])
def test_a_file_is_drawn_without_a_cluster(output: str, capsys: Output) -> None:
    assert main(["graph", "-f", str(SAMPLES / "diamond.yaml"), "-o", output]) == 0
    assert "check-style" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a: [", "not YAML"),
        ("kind: ConfigMap", "has 0 Observatories"),
        (
            INVALID,
            'Not found: "c"',
        ),
    ],
)
def test_a_file_that_cannot_be_drawn_is_one_line(
    content: str, words: str, tmp_path: Path, capsys: Output
) -> None:
    file = tmp_path / "w.yaml"
    file.write_text(content)
    assert main(["graph", "-f", str(file)]) in (1, 2)
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert err.count("\n") == 1


def test_a_graph_is_of_a_name_or_of_a_file(capsys: Output) -> None:
    assert main(["graph"]) == 2
    assert capsys.readouterr().err == (
        "error: give either the NAME of an Observatory or a --file\n"
    )


# --- timeline ---------------------------------------------------------------------------------


def test_the_timeline_is_eighty_columns_of_bars() -> None:
    lines = timeline.chart(view(), screen(), NOW)
    assert all(line.cell_len <= 80 for line in lines)
    head, extract, load, check = (line.plain for line in lines)
    assert head.split() == ["2026-01-01T00:00:00Z", "40s"]
    assert extract.startswith("extract  ░")
    assert load.count("█") > extract.count("█")
    assert "  █" in load.rstrip("0123456789s ").rstrip()
    assert (check.split()[0], check.split()[-1]) == ("check", "5s")


def test_bars_are_the_attempts_with_their_waits() -> None:
    (bar,) = timeline.bars(view().by_name["extract"], NOW)
    assert (bar.ran - bar.start, bar.end - bar.ran) == (timedelta(seconds=5), timedelta(seconds=5))
    assert [bar.phase for bar in timeline.bars(view().by_name["load"], NOW)] == ["Failed", "Failed"]
    assert list(timeline.bars(view().by_name["publish"], NOW)) == []
    (goes_on,) = timeline.bars(view(running()).by_name["check"], NOW)
    assert goes_on.end == NOW


def test_the_timeline_is_drawn_as_svg() -> None:
    root = ET.fromstring(timeline.drawn(view(), NOW))  # noqa: S314 -- our own
    rectangles = [each for each in root.iter() if each.tag.endswith("}rect")]
    # The background, four bars, and the one wait.
    assert len(rectangles) == 1 + 4 + 1
    assert all(float(each.get("width", "0")) > 0 for each in rectangles)


# --- events and what is shared ----------------------------------------------------------------


def event(number: int, kind: str, name: str, **more: object) -> JsonObject:
    regarding = {"kind": kind, "name": name, "uid": "u" if kind == "Observatory" else "x"}
    return {
        "metadata": {"name": f"e{number}", "namespace": "default"},
        "type": "Normal",
        "reason": f"R{number}",
        "note": "told",
        "eventTime": f"2026-01-01T00:00:{number:02}.000000Z",
        "regarding": regarding,
        **more,
    }


def test_events_are_those_of_the_workflow_and_its_pods_in_order_of_time() -> None:
    server = ApiServer(lambda: NOW)
    for each in (
        event(5, "Pod", "etl-load-1-x", type="Warning"),
        event(
            1, "Observatory", "etl", series={"count": 4, "lastObservedTime": "2026-01-01T00:00:09Z"}
        ),
        event(3, "Pod", "another"),
        event(2, "Observatory", "etl"),
    ):
        server.create_now(EVENTS, "default", each)
    key = Key("default", "etl")
    found = asyncio.run(events.about(server, key, failed(), warnings=False))
    assert plain(events.listing(found, NOW, titles=True)).splitlines() == [
        "AGE  TYPE     REASON  NOTE",
        "58s  Normal   R2      told",
        "55s  Warning  R5      etl-load-1-x: told",
        "51s  Normal   R1      told (x4)",
    ]
    found = asyncio.run(events.about(server, key, failed(), warnings=True))
    assert [each["reason"] for each in found] == ["R5"]


def test_what_is_not_there_is_told_with_where_to_look() -> None:
    server = ApiServer(lambda: NOW)
    with pytest.raises(CommandError) as caught:
        asyncio.run(fetch(server, Key("default", "nope")))
    assert str(caught.value) == (
        'no Observatory "nope" in namespace "default"; see observatory list -A'
    )
    with pytest.raises(CommandError):
        asyncio.run(fetch(server, Key("default", "../x")))


def test_a_run_is_shown_with_the_tasks_that_it_executed() -> None:
    world = World()
    world.exit_codes = {"b": None}
    world.apply(observatory("night", task("a"), task("b", "a")))
    world.run("night")
    world.edit("night", tasks=[task("x")])
    shown = asyncio.run(seen(world.server, KEY))
    assert plain(graph.plain(shown, screen())) == "  1  ✔ a\n  2  ● b  ← a"
    world.server.delete_now(CONTROLLER_REVISIONS, Key("default", shown.status.revision or ""))
    shown = asyncio.run(seen(world.server, KEY))
    assert [each.name for each in shown.tasks] == ["a", "b"]


def test_all_pages_of_a_list_are_read() -> None:
    server = ApiServer(lambda: NOW)
    for number in range(1203):
        server.create_now(OBSERVATORIES, "default", observatory(f"w{number}", task("a")))

    async def names() -> list[str]:
        found = every(server, OBSERVATORIES, "default", {})
        return [each["metadata"]["name"] async for each in found]

    assert len(set(asyncio.run(names()))) == 1203


def test_objects_are_written_as_json_yaml_or_names(capsys: Output) -> None:
    write_objects([failed()], "json", single=True)
    assert '"phase": "Failed"' in capsys.readouterr().out
    made = failed()
    made["status"]["message"] = "\u202eevil ✔"
    for output in ("json", "yaml"):
        write_objects([made], output, single=True)
        assert capsys.readouterr().out.isascii()
    write_objects([failed()], "yaml", single=False)
    assert capsys.readouterr().out.startswith("apiVersion: v1\nkind: List\nitems:\n")
    write_objects([failed()], "name", single=True)
    assert capsys.readouterr().out == "observatory.workflow.seventh-horizon.io/etl\n"


def test_a_view_of_anything_is_shown() -> None:
    made = failed()
    made["status"] = {"tasks": "none"}
    assert view_of(made).problem
    text = plain(get.page(view_of(made), screen(), NOW))
    assert "status" in text
