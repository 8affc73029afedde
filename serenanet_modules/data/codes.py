"""What a language is called: ISO 639-1 and 639-3 codes, and English names."""

LANGUAGES = """
aa:aar:afar ab:abk:abkhazian ae:ave:avestan af:afr:afrikaans ak:aka:akan am:amh:amharic an:arg:aragonese ar:ara:arabic
as:asm:assamese av:ava:avaric ay:aym:aymara az:aze:azerbaijani ba:bak:bashkir be:bel:belarusian bg:bul:bulgarian
bi:bis:bislama bm:bam:bambara bn:ben:bengali bo:bod:tibetan br:bre:breton bs:bos:bosnian ca:cat:catalan ce:che:chechen
ch:cha:chamorro co:cos:corsican cr:cre:cree cs:ces:czech cu:chu:church_slavic cv:chv:chuvash cy:cym:welsh
da:dan:danish de:deu:german dv:div:dhivehi dz:dzo:dzongkha ee:ewe:ewe el:ell:modern_greek en:eng:english
eo:epo:esperanto es:spa:spanish et:est:estonian eu:eus:basque fa:fas:persian ff:ful:fulah fi:fin:finnish fj:fij:fijian
fo:fao:faroese fr:fra:french fy:fry:western_frisian ga:gle:irish gd:gla:scottish_gaelic gl:glg:galician gn:grn:guarani
gu:guj:gujarati gv:glv:manx ha:hau:hausa he:heb:hebrew hi:hin:hindi ho:hmo:hiri_motu hr:hrv:croatian ht:hat:haitian
hu:hun:hungarian hy:hye:armenian hz:her:herero ia:ina:interlingua id:ind:indonesian ie:ile:interlingue ig:ibo:igbo
ii:iii:sichuan_yi ik:ipk:inupiaq io:ido:ido is:isl:icelandic it:ita:italian iu:iku:inuktitut ja:jpn:japanese
jv:jav:javanese ka:kat:georgian kg:kon:kongo ki:kik:kikuyu kj:kua:kuanyama kk:kaz:kazakh kl:kal:kalaallisut
km:khm:khmer kn:kan:kannada ko:kor:korean kr:kau:kanuri ks:kas:kashmiri ku:kur:kurdish kv:kom:komi kw:cor:cornish
ky:kir:kirghiz la:lat:latin lb:ltz:luxembourgish lg:lug:ganda li:lim:limburgan ln:lin:lingala lo:lao:lao
lt:lit:lithuanian lu:lub:luba-katanga lv:lav:latvian mg:mlg:malagasy mh:mah:marshallese mi:mri:maori mk:mkd:macedonian
ml:mal:malayalam mn:mon:mongolian mr:mar:marathi ms:msa:malay mt:mlt:maltese my:mya:burmese na:nau:nauru
nb:nob:norwegian_bokmål nd:nde:north_ndebele ne:nep:nepali ng:ndo:ndonga nl:nld:dutch nn:nno:norwegian_nynorsk
no:nor:norwegian nr:nbl:south_ndebele nv:nav:navajo ny:nya:nyanja oc:oci:occitan oj:oji:ojibwa om:orm:oromo
or:ori:oriya os:oss:ossetian pa:pan:panjabi pi:pli:pali pl:pol:polish ps:pus:pushto pt:por:portuguese qu:que:quechua
rm:roh:romansh rn:run:rundi ro:ron:romanian ru:rus:russian rw:kin:kinyarwanda sa:san:sanskrit sc:srd:sardinian
sd:snd:sindhi se:sme:northern_sami sg:sag:sango si:sin:sinhala sk:slk:slovak sl:slv:slovenian sm:smo:samoan
sn:sna:shona so:som:somali sq:sqi:albanian sr:srp:serbian ss:ssw:swati st:sot:southern_sotho su:sun:sundanese
sv:swe:swedish sw:swa:swahili ta:tam:tamil te:tel:telugu tg:tgk:tajik th:tha:thai ti:tir:tigrinya tk:tuk:turkmen
tl:tgl:tagalog tn:tsn:tswana to:ton:tonga tr:tur:turkish ts:tso:tsonga tt:tat:tatar tw:twi:twi ty:tah:tahitian
ug:uig:uighur uk:ukr:ukrainian ur:urd:urdu uz:uzb:uzbek ve:ven:venda vi:vie:vietnamese vo:vol:volapük wa:wln:walloon
wo:wol:wolof xh:xho:xhosa yi:yid:yiddish yo:yor:yoruba za:zha:zhuang zh:zho:chinese zu:zul:zulu
"""

OTHERS = """
ak:fat ar:arb az:azb az:azj bn:bangla ca:valencian dv:maldivian el:greek es:castilian et:ekk fa:farsi fa:pes
fa:prs ff:fuc ff:fuv fy:frisian gd:gaelic gn:gug ht:haitian_creole ku:ckb ku:kmr ky:kyrgyz lg:luganda lv:lvs mg:plt
mn:khk ms:zsm my:myanmar nb:bokmål ne:npi nl:flemish nn:nynorsk ny:chichewa om:afan_oromo om:gaz om:hae or:odia or:ory
pa:punjabi ps:pashto ps:pbt ps:pbu qu:quy ro:moldovan si:sinhalese sl:slovene sq:als sw:kiswahili sw:swc sw:swh
tn:setswana ug:uyghur uz:uzn xh:isixhosa yi:ydd zh:cmn zh:mandarin zu:isizulu
"""  # languages and names that stand for one of those: as people say them, and ISO 639-3's parts of macrolanguages


def language(name):
    """The code by which locales say a language: ISO 639-1's or, of one that has none there, what it is called.

    Parameters
    ----------
    name : str
        A locale, a code or an English name, in any case.

    Examples
    --------
    >>> [language(name) for name in ("sw-KE", "swa", "Swahili", "Haitian creole", "zh_cn", "mdw")]
    ['sw', 'sw', 'sw', 'ht', 'zh', 'mdw']
    """
    name = name.strip().lower()
    return _CODES.get(name.replace(" ", "_")) or _CODES.get(first := name.replace("_", "-").split("-")[0], first)


_ROWS = [row.split(":") for row in f"{LANGUAGES} {OTHERS}".split()]
_CODES = {name: code for code, *names in _ROWS for name in (code, *names)}
