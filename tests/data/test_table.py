"""Tables: the shipped one against its published description, splits, and every refusal."""

import numpy as np
import pytest

from expressivity.data.table import Table, diabetes, read_csv


def write(tmp_path, text):
    path = tmp_path / "mine.csv"
    path.write_text(text)
    return path


def rows(count, extra=""):
    return "".join(f"{i},{(7 * i) % 5},{i * i}{extra}\n" for i in range(count))


def test_diabetes_agrees_with_the_published_summary():
    """Efron et al. 2004: 442 patients, 10 variables; the first patient is 59 years old with BMI 32.1 and response 151.
    Mean and deviation of the response, 152.13 and 77.09, are those of the documentation of R's lars package."""
    table = diabetes()
    assert (table.rows, table.dim) == (442, 10)
    assert table.features[0].tolist() == [59, 2, 32.1, 101, 157, 93.2, 38, 4, 4.8598, 87]
    assert table.values[0] == 151
    assert table.values.mean() == pytest.approx(152.13, abs=0.01)
    assert table.values.std(ddof=1) == pytest.approx(77.09, abs=0.01)
    assert set(np.unique(table.features[:, 1])) == {1.0, 2.0}


def test_least_squares_explains_the_published_half_of_the_variance():
    table = diabetes()
    design = np.column_stack([np.ones(table.rows), table.features])
    residual = table.values - design @ np.linalg.lstsq(design, table.values, rcond=None)[0]
    assert 1 - residual.var() / table.values.var() == pytest.approx(0.5177, abs=1e-4)


@pytest.mark.parametrize("seed", [0, 1, 17])
def test_split_is_a_partition_standardised_by_its_training_part(seed):
    table = diabetes()
    split = table.split(seed)
    assert split.train_features.mean(0) == pytest.approx(np.zeros(10), abs=1e-12)
    assert split.train_features.std(0) == pytest.approx(np.ones(10), abs=1e-12)
    assert (split.train_values.mean(), split.train_values.std()) == pytest.approx((0, 1), abs=1e-12)
    assert len(split.train_values) + len(split.test_values) == 442
    # undo the scaling with the affine map of the training part: all rows come back, each once
    scale = table.values.std() / np.concatenate([split.train_values, split.test_values]).std()
    back = np.concatenate([split.train_values, split.test_values]) * scale
    assert np.sort(back - back.mean()) == pytest.approx(np.sort(table.values - table.values.mean()), abs=1e-9)


def test_split_is_a_function_of_the_seed():
    table = diabetes()
    assert np.array_equal(table.split(3).test_values, table.split(3).test_values)
    assert not np.array_equal(table.split(3).test_values, table.split(4).test_values)


def test_fingerprint_tells_tables_apart():
    x, y = np.random.default_rng(0).normal(size=(30, 2)), np.arange(30.0)
    one, other = Table(x, y, ("a", "b"), "y"), Table(x + 1e-12, y, ("a", "b"), "y")
    assert one.fingerprint == Table(x, y, ("a", "b"), "y").fingerprint != other.fingerprint


def test_the_last_column_is_predicted_unless_another_one_is_named(tmp_path):
    path = write(tmp_path, "a,b,y\n" + rows(30))
    assert read_csv(path).target_column == "y"
    table = read_csv(path, "a")
    assert (table.target_column, table.columns) == ("a", ("b", "y"))


@pytest.mark.parametrize(
    ("text", "column", "sentence"),
    [
        ("a,b,y\n" + rows(30) + "4,,3\n", None, r"Column 'b' .* 1 missing .* row 31"),
        ("a,b,y\n" + rows(30) + "4,inf,3\n", None, r"Column 'b' .* missing or infinite"),
        ("a,b,y\n" + rows(30) + "4,green,3\n", None, r"Column 'b' .* text 'green' in data row 31"),
        ("a,b,c,y\n" + "".join(f"{i},{i % 3},7,{i}\n" for i in range(30)), None, r"Column 'c' .* constant \(7"),
        ("a,b,y\n" + rows(5), None, "has 5 rows; with 2 features at least 20"),
        ("a,b,y\n" + rows(30), "z", "no column 'z'; its columns are a, b, y"),
        ("y\n" + "".join(f"{i}\n" for i in range(30)), None, "no column besides 'y'"),
        ("", None, "is not a CSV table"),
        ("a,b,y\n" + rows(30, extra=",1"), None, "more values than its header line, which names 3 columns"),
        ("a,b,y\n" + rows(30) + "1,2,3,4\n", None, "is not a CSV table .* saw 4"),
        ("a, a,y\n" + rows(30), None, "two columns named 'a'; rename one"),
        (rows(30), None, r"first line .* holds numbers \(0 ...\)"),
        (("a,b,y\n" + rows(30)).replace(",", ";"), None, "separated by semicolons: 'a;b;y'; save it with commas"),
        (("a,b,y\n" + rows(30)).replace(",", "\t"), None, "separated by tabs"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_sentence(tmp_path, text, column, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        read_csv(write(tmp_path, text), column)
    assert "\n" not in str(caught.value)


def test_a_byte_order_mark_belongs_to_no_name(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_bytes(b"\xef\xbb\xbf" + ("a,b,y\n" + rows(30)).encode())
    assert read_csv(path).columns == ("a", "b")


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_another_encoding_is_refused(tmp_path, encoding):
    path = tmp_path / "mine.csv"
    path.write_bytes(("ä,b,y\n" + rows(30)).encode(encoding))
    with pytest.raises(ValueError, match=r"not a text in UTF-8 .* save it as UTF-8"):
        read_csv(path)


def test_more_features_than_rows_are_refused():
    x = np.random.default_rng(0).normal(size=(25, 30))
    with pytest.raises(ValueError, match="25 rows; with 30 features at least 31"):
        Table(x, x[:, 0], tuple(f"c{i}" for i in range(30)), "y")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"Cannot read the table .*nowhere\.csv'"):
        read_csv(tmp_path / "nowhere.csv")
