"""FLEURS as published: data/<language>/{train,dev,test}.tsv and, unpacked, data/<language>/audio/<split>/*.wav."""

import difflib
from pathlib import Path

from serenanet_modules.data.manifest import SPLITS, Candidate
from serenanet_modules.errors import LayoutError, UserError

COLUMNS = ("id", "file_name", "raw_transcription", "transcription", "characters", "num_samples", "gender")  # no header
LANGUAGES = """
    af_za am_et ar_eg as_in ast_es az_az be_by bg_bg bn_in bs_ba ca_es ceb_ph ckb_iq cmn_hans_cn cs_cz cy_gb da_dk
    de_de el_gr en_us es_419 et_ee fa_ir ff_sn fi_fi fil_ph fr_fr ga_ie gl_es gu_in ha_ng he_il hi_in hr_hr hu_hu
    hy_am id_id ig_ng is_is it_it ja_jp jv_id ka_ge kam_ke kea_cv kk_kz km_kh kn_in ko_kr ky_kg lb_lu lg_ug ln_cd
    lo_la lt_lt luo_ke lv_lv mi_nz mk_mk ml_in mn_mn mr_in ms_my mt_mt my_mm nb_no ne_np nl_nl nso_za ny_mw oc_fr
    om_et or_in pa_in pl_pl ps_af pt_br ro_ro ru_ru sd_in sk_sk sl_si sn_zw so_so sr_rs sv_se sw_ke ta_in te_in
    tg_tj th_th tr_tr uk_ua umb_ao ur_pk uz_uz vi_vn wo_sn xh_za yo_ng yue_hant_hk zu_za
""".split()


def candidates(data_folder, locale, language):
    """Yield the utterances of one language.

    The text is the raw transcription: the language's own rule normalises it. FLEURS does not say who speaks.

    Parameters
    ----------
    data_folder : str or Path
        A copy of the repository google/fleurs, its folder data, or that of the language.
    locale : str
        Whose text rule is used.
    language : str
        One of `LANGUAGES`.

    Yields
    ------
    Candidate

    Raises
    ------
    UserError
        For an unknown language, a missing list, audio that is not unpacked, or a line that is not FLEURS's.
    """
    if language not in LANGUAGES:
        close = [code for code in LANGUAGES if code.split("_")[0] == language.split("_")[0].lower()]
        close = close or difflib.get_close_matches(language.lower(), LANGUAGES, n=1)
        hint = f"did you mean {close[0]}?" if close else f"the codes are {' '.join(LANGUAGES)}"
        raise UserError(f"language: FLEURS has no {language!r}; {hint}")
    folder = _folder(Path(data_folder).absolute(), language)
    for split in SPLITS:
        _check(folder, split)
    return (utterance for split in SPLITS for utterance in _split(folder, split, locale))


def _folder(folder, language):
    for inner in (folder / "data" / language, folder / language, folder):
        if any((inner / f"{split}.tsv").is_file() for split in SPLITS):
            return inner
    raise LayoutError(f"{folder}: there is no data/{language}/train.tsv here; is it a copy of google/fleurs?")


def _check(folder, split):
    audio = folder / "audio"
    if not (folder / f"{split}.tsv").is_file():
        raise UserError(f"{folder}: there is no {split}.tsv here; download it beside the others.")
    if not (audio / split).is_dir():
        packed = audio / f"{split}.tar.gz"
        hint = f"unpack it: tar xzf {packed} -C {audio}" if packed.is_file() else f"{split}.tar.gz goes there"
        raise UserError(f"{audio / split}: there is no such folder; {hint}")


def _split(folder, split, locale):
    file = folder / f"{split}.tsv"
    lines = file.read_text(encoding="utf-8-sig").split("\n")  # other line ends may stand in a text
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        values = line.rstrip("\r").split("\t")
        if len(values) != len(COLUMNS):
            raise UserError(f"{file}: line {number} has {len(values)} columns, not the {len(COLUMNS)} of FLEURS.")
        row = dict(zip(COLUMNS, values, strict=True))
        wav = folder / "audio" / split / row["file_name"]
        yield Candidate(f"{split}-{wav.stem}", wav, row["raw_transcription"], "", locale, split)
