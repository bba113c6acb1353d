"""Output folders appear whole or not at all."""

import pytest

from snnkit.cli.output import growing_folder, output_folder
from snnkit.errors import UserError
from snnkit.files import write_text


def test_files_appear_together_and_replace_older_ones(tmp_path):
    out = tmp_path / "a" / "b"
    with output_folder(out) as folder:
        (folder / "x.txt").write_text("1")
        (folder / "deep").mkdir()
        (folder / "deep" / "y.txt").write_text("1")
        assert not out.exists()
    with output_folder(out) as folder:
        (folder / "x.txt").write_text("2")
    assert (out / "x.txt").read_text() == "2" and (out / "deep" / "y.txt").read_text() == "1"
    assert sorted(p.name for p in out.parent.iterdir()) == ["b"]


@pytest.mark.parametrize("existed", [True, False])
def test_failure_leaves_everything_as_it_was(tmp_path, existed):
    out = tmp_path / "new" / "out"
    if existed:
        out.mkdir(parents=True)
        (out / "x.txt").write_text("old")
    with pytest.raises(RuntimeError), output_folder(out) as folder:
        (folder / "x.txt").write_text("half")
        raise RuntimeError
    if existed:
        assert [p.name for p in out.parent.iterdir()] == ["out"] and (out / "x.txt").read_text() == "old"
    else:
        assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("context", [output_folder, growing_folder])
def test_a_place_that_cannot_be_written_is_refused_before_the_work(tmp_path, context):
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "below", "/proc/snnkit"):
        with pytest.raises(UserError, match=r"--out"), context(out):
            raise AssertionError("the work has begun")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_growing_folder_keeps_what_it_has_but_goes_when_empty(tmp_path):
    with pytest.raises(KeyboardInterrupt), growing_folder(tmp_path / "a" / "run") as folder:
        (folder / "epoch1").write_text("weights")
        raise KeyboardInterrupt
    assert (tmp_path / "a" / "run" / "epoch1").read_text() == "weights"
    with pytest.raises(UserError), growing_folder(tmp_path / "b" / "run"):
        raise UserError("wrong from the start")
    assert not (tmp_path / "b").exists()


def test_without_out_the_folder_is_temporary():
    with output_folder(None) as folder:
        (folder / "x").write_text("")
    assert not folder.exists()


def test_write_text_leaves_no_half_file(tmp_path):
    write_text(tmp_path / "r.json", "{}")
    assert (tmp_path / "r.json").read_text() == "{}" and len(list(tmp_path.iterdir())) == 1
    with pytest.raises(UserError, match="cannot write"):
        write_text(tmp_path / "absent" / "r.json", "{}")
