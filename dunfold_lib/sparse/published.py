"""Published scores, as logged; the papers print curves."""

LOGS = "logs in the public repository of Behrens et al. 2021 (m 250, n 500, s 50, K 16)"
NMSE_DB = {  # their ALISTA selects support, so it stands beside ours that does
    "ista": -5.770,
    "fista": -7.625,
    "alista-ss-snr40": -39.07,
    "alista-ss-snr20": -21.08,
}
CURVES = {
    "LISTA": "Chen et al. 2018, figure 3 (a curve)",
    "LISTA-CP": "Chen et al. 2018, figure 3 (a curve)",
    "TiLISTA": "Liu et al. 2019, figure 1 (a curve)",
    "ALISTA": "Liu et al. 2019, figure 1 (a curve)",
    "HyperLISTA": "Chen et al. 2021 (curves)",
}
