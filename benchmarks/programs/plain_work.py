"""Pure CPU work: decodes JSON into sorted values again and again, and prints the seconds. Usage: rounds"""

import json
import sys
import time

import numpy as np

ROWS = 20_000


def main(rounds: int) -> float:
    """The seconds of `rounds` rounds."""
    hours = [
        {"period": f"2024-01-01T{n % 24:02}", "respondent": "ISNE", "value": str(7 * n % 9973)} for n in range(ROWS)
    ]
    answer = json.dumps(hours)
    started = time.perf_counter()
    for _ in range(rounds):
        np.sort(np.array([float(row["value"]) for row in json.loads(answer)]))
    return time.perf_counter() - started


if __name__ == "__main__":
    print(main(int(sys.argv[1])))
