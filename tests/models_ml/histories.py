"""Leads whose chances are known, and files made of them."""

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl


class Leads:
    """Leads with a known model behind them, in order of time, and what somebody might have put beside them."""

    def __init__(self, rows: int, *, seed: int = 0, signal: float = 1.0) -> None:
        self.random = random = np.random.default_rng(seed)
        visits, depth, noise = random.normal(size=(3, rows))
        source = random.choice(["ads", "web", "referral", "cold"], rows, p=[0.3, 0.3, 0.1, 0.3])
        employees = np.exp(random.normal(3, 1, rows)).round()
        effect = 0.8 * visits - 0.5 * depth + np.select([source == "referral", source == "cold"], [1.0, -0.8], 0.0)
        self.chances = 1 / (1 + np.exp(1.2 - signal * (effect + 0.4 * np.log((employees + 1) / 20))))
        self.won = (random.random(rows) < self.chances).astype(int)
        hours = np.sort(random.random(rows) * 24 * 500)
        self.created = [datetime(2024, 1, 1) + timedelta(hours=float(hour)) for hour in hours]  # noqa: DTZ001
        self.frame = pl.DataFrame(
            {
                "created_at": self.created,
                "visits": visits.round(3),
                "depth": depth.round(3),
                "noise": noise.round(2),
                "source": source,
                "employees": employees,
                "outcome": np.where(self.won == 1, "Closed Won", "Closed Lost"),
            }
        )

    def with_leaks(self) -> pl.DataFrame:
        """The five kinds: an echo of the outcome, facts of later, an id, a status given after it, and rows twice."""
        rows, random, won = len(self.won), self.random, self.won == 1
        late = [
            at + timedelta(days=float(days))
            for at, days in zip(self.created, random.exponential(30, rows), strict=True)
        ]
        leaky = self.frame.with_columns(
            is_customer=pl.Series(np.where(won ^ (random.random(rows) < 0.03), "Y", "N")),
            last_invoice=pl.Series(late),
            revenue=pl.Series(np.where(won, random.exponential(100, rows).round(2), 0.0)),
            record=pl.Series(np.arange(rows) + 1000),
            handling=pl.Series(
                np.where(
                    won, random.choice(["Onboarded", "Invoiced"], rows), random.choice(["No answer", "Invoiced"], rows)
                )
            ),
        )
        again = leaky.sample(300, seed=1).with_columns(
            record=pl.Series(np.arange(300) + 90_000), created_at=pl.col("created_at") + timedelta(days=200)
        )
        return pl.concat([leaky, again])


def write(frame: pl.DataFrame, file: Path) -> Path:
    """The frame as a CSV file."""
    frame.write_csv(file)
    return file
