import pytest
from hypothesis import given
from hypothesis import strategies as st

from observatory.api.image import image_problem

SHA256 = "sha256:" + "0a" * 32
TAG = (
    "invalid reference format: the tag after ':' must be at most 128 letters, digits, '_', '.' "
    "and '-', and not begin with '.' or '-'"
)
DIGEST = (
    "invalid reference format: the part after '@' must be a digest (e.g. 'sha256:' and 64 "
    "hexadecimal digits)"
)
REPOSITORY = (
    "invalid reference format: the repository must consist of lower case letters and digits, "
    "separated by '/', '.', '_' or '-' (e.g. 'busybox:1.36')"
)
LOWERCASE = "invalid reference format: repository name must be lowercase"
REGISTRY = "invalid reference format: the registry must be a host name, with or without a port"


@pytest.mark.parametrize(
    "image",
    [
        "busybox",
        "busybox:1.36",
        "busybox:latest",
        "library/busybox",
        "ghcr.io/a/b/c:v1.0.0-rc.1_2",
        "localhost/x",
        "localhost:5000/x:y",
        "MyHost.example:5000/x",
        "[::1]:5000/x",
        f"busybox@{SHA256}",
        f"busybox:1.36@{SHA256}",
        "a__b/c.d-e--f",
        "a.b",
        "x" * 255,
    ],
)
def test_a_good_reference_has_no_problem(image: str) -> None:
    assert image_problem(image) is None


@pytest.mark.parametrize(
    ("image", "problem"),
    [
        ("a:b:c", TAG),
        ("a:", TAG),
        ("a:-x", TAG),
        ("a:" + "x" * 129, TAG),
        ("UPPER/x", LOWERCASE),
        ("BusyBox", LOWERCASE),
        ("ghcr.io/Team/x", LOWERCASE),
        ("", REPOSITORY),
        ("/a", REPOSITORY),
        ("a/", REPOSITORY),
        ("a//b", REPOSITORY),
        ("a..b", REPOSITORY),
        ("a___b", REPOSITORY),
        ("\u0430lpine", REPOSITORY),
        ("a b", REPOSITORY),
        ("http://x/y", REGISTRY),
        ("host:80a/x", REGISTRY),
        ("a@", DIGEST),
        ("a@sha256:00", DIGEST),
        (f"a@{SHA256}0", DIGEST),
        ("a@b@c", DIGEST),
        (" a", "must not have leading or trailing whitespace"),
        ("a\n", "must not have leading or trailing whitespace"),
        ("f" * 64, "invalid reference format: 64 hexadecimal digits are an image ID, not a name"),
        (
            "x" * 256,
            "invalid reference format: repository name is longer than 255 characters",
        ),
    ],
)
def test_a_bad_reference_is_told_what_is_wrong_with_it(image: str, problem: str) -> None:
    assert image_problem(image) == problem


parts = st.from_regex(r"[a-z0-9]{1,8}((\.|_|__|-{1,3})[a-z0-9]{1,8}){0,2}", fullmatch=True)
names = st.lists(parts, min_size=1, max_size=4).map("/".join)
domains = st.from_regex(r"[a-zA-Z0-9]{1,9}\.[a-z]{2,3}(:[0-9]{1,5})?/", fullmatch=True)
tags = st.from_regex(r":[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)


@given(
    st.just("docker.io/") | domains, names, st.just("") | tags, st.sampled_from(["", f"@{SHA256}"])
)
def test_what_the_grammar_makes_is_good(domain: str, name: str, tag: str, digest: str) -> None:
    assert image_problem(f"{domain}{name}{tag}{digest}") is None


@given(st.text(st.characters(), max_size=200))
def test_any_text_is_judged(image: str) -> None:
    problem = image_problem(image)
    assert problem is None or problem.isprintable()
