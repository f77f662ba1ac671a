"""Where each statement of `theorems` is in code: full names below `expressivity`, by source and number."""

_LU, _HANIN = "constructions.lu2017", "constructions.hanin_sellke2017"
_ELDAN, _TELGARSKY = "constructions.eldan_shamir2016", "constructions.telgarsky2016"
_KERNELS = "certificates.constant_directions"

CODE: dict[tuple[str, str], tuple[str, ...]] = {
    ("lu2017", "Theorem 1"): (f"{_LU}.approximate",),
    ("lu2017", "Theorem 2"): ("certificates.escape.escape_path",),
    ("lu2017", "Theorem 3"): (f"{_KERNELS}.kernel", f"{_KERNELS}.first_layer"),
    ("lu2017", "Theorem 4"): (f"{_LU}.wide_target", "certificates.counting.width_efficiency"),
    ("expressivity", "step network"): (f"{_LU}.step_network", f"{_LU}.single_sum_network", f"{_LU}.approximate"),
    ("hanin_sellke2017", "Theorem 1"): (f"{_HANIN}.cap_string", "certificates.bottlenecks.bottleneck"),
    ("expressivity", "string of maxima and minima"): (
        f"{_HANIN}.string_network",
        f"{_HANIN}.max_affine",
        f"{_HANIN}.max_affine_difference",
    ),
    ("expressivity", "cap string"): (f"{_HANIN}.cap_string",),
    ("kim2024", "Theorem 1"): ("constructions.kim2024.coding_network", f"{_KERNELS}.first_layer"),
    ("expressivity", "coding network on the cube"): ("constructions.kim2024.coding_network",),
    ("park2021", "Theorem 1"): ("constructions.park2021.coding_network",),
    ("expressivity", "coding network on R^n"): ("constructions.park2021.coding_network",),
    ("kidger_lyons2020", "Theorem 4.16"): ("constructions.kidger_lyons2020.cut_off",),
    ("expressivity", "register model with cut-off"): (
        "constructions.kidger_lyons2020.register_model",
        "constructions.kidger_lyons2020.cut_off",
    ),
    ("vardi2022", "Theorem 7"): ("constructions.vardi2022.narrow",),
    ("vardi2022", "Lemma 9"): ("constructions.vardi2022.leading_bits",),
    ("expressivity", "narrow compiler"): ("constructions.vardi2022.narrow", "constructions.vardi2022.best_split"),
    ("expressivity", "targets that are networks"): ("certificates.floors.floor",),
    ("expressivity", "constant directions"): (
        f"{_KERNELS}.kernel",
        f"{_KERNELS}.first_layer",
        f"{_KERNELS}.subspace_distance",
    ),
    ("expressivity", "moment certificate"): ("certificates.moments.moment",),
    ("expressivity", "rotations"): ("certificates.rotations.rotation",),
    ("expressivity", "isotonic ridge"): ("certificates.monotone_ridges.isotonic",),
    ("expressivity", "escape path"): (
        "certificates.escape.escape_path",
        "certificates.escape.path",
        "certificates.escape.best_path",
        "certificates.rational_path.rational_path",
    ),
    ("expressivity", "bottleneck"): ("certificates.bottlenecks.bottleneck",),
    ("expressivity", "pieces in one dimension"): (
        "certificates.counting.pieces_bound",
        "certificates.line_pieces.pieces_floor",
    ),
    ("eldan_shamir2016", "Theorem 1"): (f"{_ELDAN}.profile", "certificates.tube.tube"),
    ("eldan_shamir2016", "Proposition 17"): (f"{_ELDAN}.paper_width",),
    ("expressivity", "radial network"): (f"{_ELDAN}.three_layer_network",),
    ("expressivity", "tube certificate"): ("certificates.tube.tube", "certificates.tube.tube_limit"),
    ("safran_shamir2017", "Theorem 1"): ("constructions.safran_shamir2017.ball_indicator",),
    ("expressivity", "ball indicator"): ("constructions.safran_shamir2017.ball_indicator",),
    ("safran_eldan_shamir2019", "Theorem 1"): ("constructions.safran_eldan_shamir2019.approximate",),
    ("expressivity", "ridge average"): (
        "constructions.safran_eldan_shamir2019.kappa",
        "constructions.safran_eldan_shamir2019.ridge_design",
    ),
    ("daniely2017", "Theorem 1"): ("constructions.daniely2017.paper_bound",),
    ("expressivity", "inner-product network"): ("constructions.daniely2017.network",),
    ("expressivity", "rank certificate"): ("certificates.rank.rank", "certificates.rank.rank_limit"),
    ("telgarsky2015", "Theorem 1.1"): (f"{_TELGARSKY}.max_width",),
    ("telgarsky2016", "Theorem 1.1"): (f"{_TELGARSKY}.sawtooth", f"{_TELGARSKY}.sizes"),
    ("expressivity", "alternating runs"): (
        f"{_TELGARSKY}.min_errors_alternating",
        f"{_TELGARSKY}.classification_certificate",
    ),
    ("expressivity", "sawtooth in L1"): (f"{_TELGARSKY}.l1_certificate",),
    ("yarotsky2017", "Proposition 2"): ("constructions.yarotsky2017.square",),
    ("expressivity", "one-sided product"): ("constructions.yarotsky2017.product",),
    ("venturi2022", "abstract"): ("constructions.venturi2022.oscillation",),
    ("expressivity", "oscillation of a hidden layer"): ("constructions.venturi2022.oscillation",),
    ("arora2018", "Theorem 2.1"): (
        "constructions.arora2018.maximum",
        "constructions.arora2018.sufficient_hidden_layers",
    ),
    ("montufar2014", "Theorem 4"): ("constructions.montufar2014.zigzag", "certificates.regions.montufar_lower"),
    ("serra2018", "Theorem 1"): ("certificates.regions.serra",),
    ("serra2018", "Theorem 5"): ("constructions.montufar2014.zigzag",),
}

# Statements that are only quoted, with the reason.
QUOTED: dict[tuple[str, str], str] = {
    ("vardi2022", "Theorem 5"): "its networks hold whole layers in one number, which float64 has not the bits for",
}
