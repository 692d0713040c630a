"""No published numbers: no paper has measured these photographs, this blur and this network.

The algorithm is that of Chambolle & Pock 2011, whose tables have other images and other noise.
"""

NONE = "no published figure; algorithm: Chambolle & Pock 2011"
