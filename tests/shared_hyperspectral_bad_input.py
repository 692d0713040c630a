"""What the tests ``test_hyperspectral_bad_input*`` share."""

from refusals import ones

ONE_BAD = "holds 1 NaN or infinite entries; all must be finite"

CUBE = ones(1, 6, 12, 12)
