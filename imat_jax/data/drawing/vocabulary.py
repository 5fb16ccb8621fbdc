"""Kaggle's tasks and labels of the iMaterialist Challenge at FGVC 2017.

An id is the place of the name in its list, counted from 1, as a string.
"""


def _names(text: str) -> tuple[str, ...]:
  return tuple(' '.join(name.split()) for name in text.split(','))


TASKS = _names("""
  shoe:gender, shoe:age, shoe:color, shoe:up height, dress:decoration,
  dress:color, dress:material, dress:silhouette, shoe:type, shoe:closure type,
  pants:color, dress:length, outerwear:type, dress:occasion, outerwear:gender,
  shoe:toe shape, outerwear:color, shoe:heel type, outerwear:collar,
  outerwear:age, outerwear:material, pants:fit, pants:type, pants:decoration,
  pants:pattern, pants:material, outerwear:length, outerwear:sleeve length,
  dress:age, shoe:decoration, pants:age, pants:gender, outerwear:pattern,
  shoe:flat type, dress:sleeve length, shoe:material, dress:pattern,
  dress:collar, outerwear:closure type, dress:gender, shoe:back counter type,
  shoe:pump type, pants:rise type, pants:length, shoe:boot type
""")

LABELS = _names("""
  men, adult, black, women, flat, printed, purple, velvet, mermaid, sneaker,
  slipon, light, sky blue, midi, navy, silk, beige, low, loose, blue, party,
  boot, red, lace, peep toe, wedding, coats, camel, wedges, short, blazers,
  organza, black white, long, lace applique, hooded, white, khaki, green,
  silver, pink, kids, suede, vests, cashmere, pencil, high, striped, stripe,
  chiffon, oxford, shawl, embroider, down, floral, flag, laceup, skater,
  embroidery, parka, yellow, fur, wool blends, satin, maxi, plain, skeleton,
  led, windstopper, check, jackets, red carpet, boat, club, cap, kneehigh,
  beading, hemp, mandarin, turtle neck, dark blue, embroidered, mesh, gold,
  jersey, coral, travel, fleece, mini, office, tiered, leather, leggings,
  faux leather, imitation leather, bow, lavender, royal blue, dark brown,
  woolen, wool, v neck, quinceanera, collarless, zip, light blue, print,
  sequined, hollow, navy blue, gray, cotton, denim, genuine leather, medium,
  leopard, glitter, grey, patchwork, booties, dark green, cocktail, faux fur,
  jacquard, flowers, loafers, nude, sandals, camouflage, platform, platforms,
  light pink, evening, formal, pvc, cardigans, sequins, nylon, tulle, flare,
  appliques, sports, halloween, pants, slim, sweetheart, stand, ripped,
  ruffles, ball gown, jogging, fox fur, cargo, canvas, crystal, burgundy,
  sleeveless, silk chiffon, light brown, deep v neck, trumpet, spaghetti strap,
  shift, banquet, pump, skinny, off shoulder, polartec, orange, clogs, casual,
  denim blue, camo, geometric, stand collar, linen, tan, brown, turquoise,
  pointed toe, high waisted, white black, jeans, ankle strap, metallic,
  vintage, corduroy, bleached, sheepskin, fringe, slim fit, fit and flare,
  cloak, alligator, slit, prom, brogue, round, pleat, round neck, layered,
  button, dark grey, cordura, strapless, strappy, bodycon, micro mini, stretch,
  polyester, diamond, long train, draped, latex, summer, drawstring, knitting,
  letter, autumn, trench coat, waterproof, performance, rivets, emerald,
  full length, engagement, pillow, flat platform, tassel, solid, polka dot,
  mary janes, feathers, high low, floor length, single breasted, belt, plaid,
  raincoats, jelly, peter pan, suit, oxfords, harem, straight, batik,
  light purple, ballet flats, scratched, half, slingbacks, knitted, terry,
  multicolor, men jeans, transparent, classic, cocktail party, bomber jacket,
  pu, boat neck, knot, flannel, mint, square, pullover, light gray, lamb fur,
  dark, light green, color block, wedding party, sheath, army green,
  light grey, snakeskin, pattern, dark red, chain, ankle, velcro, baby, buckle,
  pleated, herringbone, poplin, outdoor, square neck, goretex, pearls, dot,
  bling, side stripe, date, ice blue, rabbit fur, wine, crib, shoulderless,
  single button, pinstripe, golden, double breasted, bridesmaid, knee,
  denim jeans, skinny jeans, jute, ivory, charcoal grey, grid, twill, hot pink,
  peach, zippers, pockets, pocket, asymmetrical, suits, open toe, pu leather,
  business, versatile, wide leg, animal, american flag, ripped jeans, full,
  castle, blue jeans, plastic, ruched, white pink, lycra, flower, rubber,
  metal, checkered, night club, street, roll neck, cotton blends, holiday,
  ankle boots, thong, celebrity, fuchsia, pageant, red black, scoop,
  above knee, synthetic leather, capris, cloth, tie dye, halter neck,
  communion, daily, homecoming, church, tutu, hoodies, everyday, mink fur,
  paisley, stiletto, velour, galaxy, cowboy, peter pan collar, dark gray,
  double, turtleneck, black jeans, elastic waist, patches, hole, chunky heels,
  ankle length, hollow out, rhinestone
""")

TASK_IDS = {name: str(i) for i, name in enumerate(TASKS, 1)}
LABEL_IDS = {name: str(i) for i, name in enumerate(LABELS, 1)}


def task_map() -> dict:
  """The content of `fgvc4_iMat.task_map.json`."""
  info = [{'taskName': name, 'taskId': i} for name, i in TASK_IDS.items()]
  return {'taskInfo': info}


def label_map() -> dict:
  """The content of `fgvc4_iMat.label_map.json`."""
  info = [{'labelName': name, 'labelId': i} for name, i in LABEL_IDS.items()]
  return {'labelInfo': info}
