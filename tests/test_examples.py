"""The example scripts run in a fresh copy, without a warning, draw figures, and print what is published or exact."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import integrate, special, stats

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
SCRIPTS = sorted(EXAMPLES.glob("[0-9]*.py"))
NUMBER = r"-?\d+\.?\d*"


def run(name: str, folder: Path) -> str:
    """Run a script in a copy of the examples; check its figures; return what it printed."""
    there = folder / "examples"
    shutil.copytree(EXAMPLES, there, ignore=shutil.ignore_patterns("*.png", "__pycache__"))
    env = os.environ | {"MPLBACKEND": "Agg", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-W", "error", name], cwd=there, env=env, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    figures = re.findall(r"examples/(\S+\.png)", done.stdout)
    assert figures and sorted(figures) == sorted(path.name for path in there.glob("*.png"))
    for figure in figures:
        assert (there / figure).stat().st_size > 10_000, f"{figure} is empty"
    return done.stdout


def row(text: str, label: str) -> list[float]:
    """Return the numbers of the first line that starts with a label, brackets included."""
    line = next(line for line in text.splitlines() if line.startswith(label + " "))
    return [float(number) for number in re.findall(NUMBER, line.removeprefix(label))]


def close(mean: float, mcse: float, expected: float, digits: int = 9) -> None:
    """Within 5 MCSE and half a unit of the last printed digit."""
    assert abs(mean - expected) <= 5 * mcse + 0.5 * 10.0**-digits, (mean, mcse, expected)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_reads_well(script):
    text = script.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 100
    assert "__file__" not in text and "# %%" in text
    title, underline = text.splitlines()[1:3]
    assert text.startswith('"""\n') and underline == "=" * len(title)
    assert "posterior.explain()" in text or ".explain()" in text


def test_ab_test(tmp_path):
    text = run("01_ab_test.py", tmp_path)
    assert "method: exact" in text
    costs = {"A": 1.0, "B": 1.0, "C": 4.0, "D": 2.0, "E": 2.5, "F": 1.0}
    totals = {"A": 174, "B": 184, "C": 25, "D": 59, "E": 42, "F": 200}  # of 12 plots each
    rates = {spray: stats.gamma(1 + total, scale=1 / 12.1) for spray, total in totals.items()}
    exact = text[text.index("Insects left on a plot") :]
    decided = text[text.index("expected_utility") :]
    for spray, rate in rates.items():
        np.testing.assert_allclose(row(exact, spray), [rate.mean(), rate.std(), *rate.ppf([0.055, 0.945])], atol=0.0051)
        mean, mcse, _, _, best, *best_mcse = row(decided, spray)
        close(mean, mcse, -rate.mean() - costs[spray], 5)
        if best_mcse:
            close(best, *best_mcse, probability_of_least(spray, costs, rates), 4)
        else:  # never the best among 20,000 draws
            assert best == 0 and probability_of_least(spray, costs, rates) < 5 / 20_000
    assert "Decision: buy spray E" in text and "at most 3.85 dollars" in text  # of those tried; the limit is 3.905


def probability_of_least(spray, costs, rates):
    """P(rate + cost of a spray is below that of the others), by quadrature."""

    def density(x):
        others = [rates[o].sf(x + costs[spray] - costs[o]) for o in rates if o != spray]
        return rates[spray].pdf(x) * np.prod(others)

    lower, upper = rates[spray].ppf([1e-12, 1 - 1e-12])
    return integrate.quad(density, lower, upper, limit=200)[0]


def test_light_speed(tmp_path):
    text = run("02_light_speed.py", tmp_path)
    assert "66 measurements, mean 26.21, sd 10.75" in text  # 26.2 and 10.8 in the textbook
    assert "normal-inverse-gamma" in text and "core of 3 numbers" in text
    y = np.loadtxt(EXAMPLES / "data" / "newcomb.csv", skiprows=4)
    low, high = stats.t(65, 26.2121212, y.std(ddof=1) / 66**0.5).ppf([0.025, 0.975])
    assert f"mean 26.21, 95 % interval [{low:.2f}, {high:.2f}]" in text  # [23.6, 28.8] in the textbook
    table = text[text.index("Student-t model (nanoseconds)") :]
    for name, expected in student_by_quadrature(y).items():
        mean, sd, _, _, ess, r_hat = row(table, name)
        close(mean, sd / ess**0.5, expected, 2)
        assert r_hat <= 1.02
    best = re.search(rf"Decision: publish the mean without the two: ({NUMBER})", text)
    assert best and float(best[1]) == round(np.sort(y)[2:].mean(), 2)


def student_by_quadrature(y):
    """Posterior means of mu, sigma, nu of the Student-t model, on a grid (in logs for the positive ones)."""
    mu = np.linspace(23.5, 31.5, 81)[:, None, None]
    log_sigma = np.linspace(np.log(1.5), np.log(11), 81)[:, None]
    log_nu = np.linspace(np.log(0.4), np.log(120), 101)
    sigma, nu = np.exp(log_sigma), np.exp(log_nu)
    log_p = -0.5 * (mu / 100) ** 2 - 0.5 * (sigma / 50) ** 2 + log_sigma + 2 * log_nu - 0.1 * nu
    norm = special.gammaln((nu + 1) / 2) - special.gammaln(nu / 2) - 0.5 * np.log(np.pi * nu) - log_sigma
    for value, count in zip(*np.unique(y, return_counts=True), strict=True):
        log_p = log_p + count * (norm - 0.5 * (nu + 1) * np.log1p(((value - mu) / sigma) ** 2 / nu))
    p = np.exp(log_p - log_p.max())
    return {name: float((p * v).sum() / p.sum()) for name, v in (("mu", mu), ("sigma", sigma), ("nu", nu))}


def test_election_poll(tmp_path):
    text = run("03_election_poll.py", tmp_path)
    assert "method: exact" in text
    exact = text[text.index("Shares of the answers") :]
    for answer, count in {"Bush": 728, "Dukakis": 584, "other or none": 138}.items():
        p = count / 1450
        assert row(exact, answer) == [round(100 * p, 2), round(100 * (p * (1 - p) / 1451) ** 0.5, 2)]
    leads = stats.beta(728, 584).sf(0.5)
    assert f"P(Bush leads) = {leads:.5f}" in text and leads > 0.999  # "over 99.9 %" in the textbook
    mean, sd = map(float, re.search(rf"Lead: ({NUMBER}) points, sd ({NUMBER})", text).groups())
    a, b = 728 / 1450, 584 / 1450
    exact_sd = 100 * ((a + b - (a - b) ** 2) / 1451) ** 0.5
    close(mean, exact_sd / 20_000**0.5, 100 * (a - b), 2)
    close(sd, exact_sd / 40_000**0.5, exact_sd, 2)
    assert "Decision: print 'Bush leads by over 5 points'" in text


def test_eight_schools(tmp_path):
    text = run("04_eight_schools.py", tmp_path)
    # By quadrature over (mu, tau); posteriordb's reference draws agree within their Monte Carlo error.
    expected = {"mu": 4.39682, "tau": 3.59772, "theta[A]": 6.21189, "theta[B]": 4.94018, "theta[C]": 3.92700}
    expected |= {
        "theta[D]": 4.75710,
        "theta[E]": 3.61547,
        "theta[F]": 4.04261,
        "theta[G]": 6.29673,
        "theta[H]": 4.85425,
    }
    for name, value in expected.items():
        close(row(text, name)[0], 0.0, value, 2)
    decided = text[text.index("expected_utility") :]
    assert row(decided, "none")[0] == 0
    for school in "ABCDEFGH":
        close(*row(decided, school)[:2], expected[f"theta[{school}]"] - 3, 2)
    assert re.search(r"Decision: adopt programme [AG],", text)  # level with each other


def test_rats(tmp_path):
    text = run("05_rats.py", tmp_path)
    assert "method: collapsed (a core of 3 numbers; 62 integrated out)" in text
    errors = {"birth": (0.0304, 1), "slope": (0.0009952, 3), "sigma": (0.005058, 3)}  # BUGS, as printed
    for name, (error, digits) in errors.items():
        mean, sd, mcse, published, published_sd = row(text, name)
        close(mean, (mcse**2 + error**2) ** 0.5, published, digits)
        assert abs(sd / published_sd - 1) < 0.05 + 5 * mcse / sd
    weight, sd = map(int, re.search(r"Rat 9 at day 36: (\d+) grams, sd (\d+)", text).groups())
    dose = int(re.search(r"as if it weighed (\d+) grams", text)[1])
    assert abs(dose - (weight + sd * stats.norm.ppf(0.25))) <= 2  # the quantile 1/4 of nearly a normal


def test_chest_clinic(tmp_path):
    """Chances of tuberculosis, lung cancer and bronchitis from the joint table of all eight variables."""
    text = run("06_chest_clinic.py", tmp_path)
    assert "method: exact" in text and "the widest table has 8 numbers" in text
    a, s, t, c, b, x, d = np.indices((2,) * 7)
    either = t | c
    breathless = np.where(either, np.where(b, 0.9, 0.7), np.where(b, 0.8, 0.1))
    chances = [0.01, 0.5, np.where(a, 0.05, 0.01), np.where(s, 0.1, 0.01), np.where(s, 0.6, 0.3)]
    chances += [np.where(either, 0.98, 0.05), breathless]
    joint = np.prod([np.where(v, p, 1 - p) for v, p in zip((a, s, t, c, b, x, d), chances, strict=True)], axis=0)
    known = joint * (d == 1)
    for step, found in (("breath", 1), ("Asia", a == 1), ("smokes", s == 1), ("is clear", x == 0)):
        known = known * found
        line = next(line for line in text.splitlines() if step in line and line[-1].isdigit())
        *percent, log_evidence = [float(number) for number in re.findall(NUMBER, line)]
        expected = [100 * known[v == 1].sum() / known.sum() for v in (t, c, b)]
        np.testing.assert_allclose(percent, expected, atol=0.00501)
        assert abs(log_evidence - np.log(known.sum())) < 0.0000501
    assert "Mode(tub=0, lung=0, bronc=1; natural scale)" in text
