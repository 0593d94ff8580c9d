"""A pipeline on trial: its predictions when something is changed that must not matter to them."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.impute import SimpleImputer
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gradlab import leaks
from gradlab.checks import verdicts
from gradlab.seam.handle import Handle

NOTHING_LEARNT = "the predictions do not depend on the visits"


class Trial:
    """A pipeline's answer on a cohort, and its answers when something is changed that must not matter."""

    def __init__(self, pipeline: Handle, case: leaks.Cohort, seed: int) -> None:
        self.pipeline, self.case, self.key = pipeline, case, jax.random.key(seed)
        train, test, predicted = self.ask(case.x)
        self.train, self.test, self.predicted = np.asarray(train), np.asarray(test), np.asarray(predicted)

    def ask(self, x: np.ndarray) -> Any:
        """The pipeline on other numbers for the same visits."""
        case = self.case
        return self.pipeline(self.key, *map(jnp.asarray, (x, case.y, case.patient, case.after)))

    def sides(self) -> str:
        """Whether the two sides are a split by patient."""
        return verdicts.wholeness((self.train, self.test), self.case.patient)

    def share(self) -> str:
        """Whether three tenths of the patients are for testing."""
        return verdicts.shares((self.train, self.test), self.case.patient, (0.7, 0.3))

    def answers(self, x: np.ndarray) -> np.ndarray:
        """The predictions by row number, -1 for rows that are not asked."""
        _, test, predicted = self.ask(x)
        found = np.full(len(x), -1)
        found[np.asarray(test)] = np.asarray(predicted)
        return found

    def learns(self) -> bool:
        """Whether a prediction changes when the test rows get the numbers of training rows."""
        x = self.case.x.copy()
        x[self.test] = self.case.x[np.resize(self.train, len(self.test))]
        return not np.array_equal(self.answers(x)[self.test], self.predicted)

    def sees_the_future(self) -> str:
        """Whether the columns that are known only afterwards change the predictions."""
        if not self.learns():
            return NOTHING_LEARNT
        x = self.case.x.copy()
        x[:, self.case.after] = 50 * np.random.default_rng(0).standard_normal((len(x), int(self.case.after.sum())))
        same = np.array_equal(self.answers(x)[self.test], self.predicted)
        return "the future is not used" if same else "a column of the future is used"

    def sees_other_test_rows(self) -> str:
        """Whether a prediction changes when other rows of the test side do.

        Asked twice: as the cohort is, where what scales a column shows, and with gaps in most cells, where what fills
        them does.
        """
        if not self.learns():
            return NOTHING_LEARNT
        kept, others = np.split(self.test, [len(self.test) // 3])
        rng = np.random.default_rng(0)
        # Another factor for each column: a scale that sees them makes other columns count.
        stretch = 10.0 ** rng.uniform(0, 2.5, self.case.x.shape[1])
        for share in (0.0, 0.6):
            gaps = rng.random(self.case.x.shape) < share
            gaps[others] = False
            x = np.where(gaps, np.nan, self.case.x)
            changed = x.copy()
            changed[others] = 40 + stretch * x[others]
            if not np.array_equal(self.answers(x)[kept], self.answers(changed)[kept]):
                return "fitted on test rows too"
        return "fitted on the training rows"

    def sees_test_labels(self) -> str:
        """Whether it matters which label a test row has: the test rows change places, their labels do not.

        Means, spreads and medians stay what they were; which columns go with the labels does not.
        """
        if not self.learns():
            return NOTHING_LEARNT
        x, turn = self.case.x.copy(), np.roll(self.test, 7)
        x[self.test] = self.case.x[turn]
        same = np.array_equal(self.answers(x)[self.test], np.roll(self.predicted, 7))
        return "test labels are not used" if same else "columns chosen by test labels"

    def agrees(self) -> str:
        """Whether the predictions are those of scikit-learn's pipeline on the same split, nine times out of ten."""
        if (found := verdicts.partition((self.train, self.test), len(self.case.y))) != verdicts.PARTITION:
            return found
        x = self.case.x.astype(np.float64)[:, ~self.case.after]
        model = make_pipeline(
            SimpleImputer(strategy="median"),
            StandardScaler(),
            SelectKBest(f_classif, k=leaks.FEATURES),
            KNeighborsClassifier(leaks.NEIGHBORS),
        ).fit(x[self.train], self.case.y[self.train])
        agreement = np.mean(model.predict(x[self.test]) == self.predicted)
        return "the honest model" if agreement >= 0.9 else "another model"
