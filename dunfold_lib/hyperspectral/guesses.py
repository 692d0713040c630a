"""What a reader guesses before an explorer of STAR-Net's chapter answers."""

from dunfold_lib.explore import Guess

PENALTIES = Guess(
    "Two penalties: the sum of the singular values, or the root of their squares' sum "
    "(Frobenius). Raise τ. Which of them makes a singular value exactly zero?",
    ("both", "the nuclear norm alone", "neither"),
    "the nuclear norm alone",
    "The nuclear norm takes τ from each value and stops at zero, so the small ones go one "
    "after the other. The Frobenius norm makes all of them smaller by the same factor: as "
    "many stay as there were. Read the count below the figure.",
)
