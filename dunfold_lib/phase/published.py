"""No published numbers: no paper has measured this network.

The algorithm is that of Wang, Giannakis, Saad & Chen 2018, with other constants and a momentum.
"""

NONE = "no published figure; algorithm: Wang, Giannakis, Saad & Chen 2018"
