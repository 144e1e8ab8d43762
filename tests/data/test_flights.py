import datetime

import numpy as np
import pytest
import torch

from uncertain import data
from uncertain.data import flights

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def whole() -> data.DataSet:
    return data.load("flights")


def test_days_are_never_torn_apart_and_nothing_is_lost(whole):
    days = [set(part.groups) for part in (whole.train, whole.validation, whole.test)]
    assert not days[0] & days[1]
    assert not (days[0] | days[1]) & days[2]
    assert sum(map(len, days)) == 365
    assert sum(whole.card.sizes.values()) == 327346
    assert len(whole.test) == pytest.approx(0.2 * 327346, rel=0.02)
    assert whole.card.duplicates["test_in_train"] == 0


def test_every_value_is_finite_and_missing_ones_are_flagged(whole):
    assert torch.isfinite(whole.train.x).all()
    names = whole.card.features
    assert len(names) == whole.card.shape[0]
    assert "seats_missing" in names
    flag = whole.train.x[:, names.index("seats_missing")]
    seats = whole.train.x[:, names.index("seats")]
    assert seats[flag == 1].unique().numel() == 1
    assert flag.mean().item() == pytest.approx(whole.card.filled["seats"], rel=0.05)


def test_the_answer_is_no_feature(whole):
    assert not {"dep_delay", "dep_time", "arr_time", "air_time"} & set(whole.card.features)
    x, y = whole.train.x.double(), whole.train.y.double()
    varying = x[:, x.std(0) > 0]
    both = torch.cat([varying, y[:, None]], dim=1).T
    assert torch.corrcoef(both)[-1, :-1].abs().max() < 0.4


def test_the_join_is_what_a_dictionary_gives(whole):
    tables = {name: flights._read(f"{name}.csv") for name in ("weather", "planes")}
    rows = flights._read("flights.csv.zip").take(whole.test.row_ids[:200]).to_pylist()
    hours = {}
    for row in tables["weather"].to_pylist():
        key = (row["origin"], row["month"], row["day"], row["hour"])
        hours.setdefault(key, row)
    planes = {row["tailnum"]: row for row in tables["planes"].to_pylist()}
    names = whole.card.features
    for row, x, y in zip(rows, whole.test.x[:200], whole.test.y[:200], strict=True):
        values = dict(zip(names, x.tolist(), strict=True))
        assert y == row["arr_delay"]
        hour = hours.get((row["origin"], row["month"], row["day"], row["hour"]))
        for column in ("temp", "pressure"):
            if hour and hour[column] is not None:
                assert values[column] == pytest.approx(hour[column])
        plane = planes.get(row["tailnum"])
        assert values["seats_missing"] == (plane is None)
        if plane:
            assert values["seats"] == plane["seats"]
        weekday = datetime.date(row["year"], row["month"], row["day"]).weekday()
        assert values[f"weekday_{weekday}"] == 1
        assert values[f"carrier_{row['carrier']}"] == 1
        assert values[f"origin_{row['origin']}"] == 1


def test_every_flight_has_one_origin_carrier_and_weekday(whole):
    for group in ("origin_", "carrier_", "weekday_"):
        columns = [k for k, name in enumerate(whole.card.features) if name.startswith(group)]
        assert (whole.test.x[:, columns].sum(1) == 1).all()


def test_clock_times_become_minutes():
    assert flights._clock(np.array([0, 59, 100, 1545, 2359])).tolist() == [0, 59, 60, 945, 1439]
