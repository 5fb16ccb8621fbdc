"""What is worn by whom and how it is made: tables of shares by class and kind.

Labels are Kaggle's. Materials have a long tail, so that several are on less
than 1% of the labelled photos.
"""

from imat_jax.data.drawing.dice import shares, tables

APPAREL = shares('shoe 30, dress 30, pants 20, outerwear 20')
WOMEN = {'shoe': 0.58, 'dress': 0.98, 'pants': 0.5, 'outerwear': 0.48}
AGE = tables(
  shoe='adult 84, kids 14, baby 2',
  dress='adult 84, kids 15, baby 1',
  pants='adult 87, kids 12, baby 1',
  outerwear='adult 88, kids 11, baby 1',
)

# The attribute that names the kind of a garment; the rest depends on it.
KIND = {
  'shoe': 'type',
  'dress': 'silhouette',
  'pants': 'type',
  'outerwear': 'type',
}
KINDS = {
  'shoe': tables(
    women='sneaker 22, boot 16, pump 24, sandals 18, flat 15, loafers 5',
    men='sneaker 40, boot 19, oxfords 19, loafers 14, sandals 8',
    kids='sneaker 48, boot 20, sandals 19, flat 13',
  ),
  'dress': tables(
    women='sheath 24, fit and flare 26, ball gown 12, mermaid 9, shift 19,'
    ' bodycon 10',
    men='shift 80, sheath 20',
    kids='fit and flare 60, ball gown 15, shift 25',
  ),
  'pants': tables(
    women='jeans 50, leggings 20, casual 14, harem 4, jogging 6, formal 6',
    men='jeans 46, casual 22, jogging 11, cargo 11, formal 10',
    kids='jeans 38, casual 18, leggings 18, jogging 22, harem 4',
  ),
  'outerwear': tables(
    women='coats 30, jackets 24, blazers 14, parka 10, cardigans 10, vests 6,'
    ' trench coat 4, cloak 2',
    men='jackets 32, hoodies 16, blazers 16, bomber jacket 10, coats 12,'
    ' parka 9, vests 5',
    kids='jackets 30, hoodies 28, parka 24, coats 12, vests 6',
  ),
}

# What follows from the kind: a table per attribute.
DETAILS = {
  'sneaker': tables(
    heel_type='flat 12, platform 1',
    up_height='low 8, high 2',
    toe_shape='round',
    closure_type='laceup 8, slipon 1, velcro 1',
    material='leather 30, canvas 30, mesh 16, suede 14, denim 3, pvc 1',
  ),
  'boot': tables(
    heel_type='flat 6, chunky heels 3, stiletto 1',
    up_height='ankle 6, kneehigh 4',
    toe_shape='round 8, pointed toe 2',
    closure_type='laceup 5, zip 4, slipon 1',
    material='leather 52, suede 32, rubber 4, fur 2, pvc 1, velvet 1',
  ),
  'pump': tables(
    heel_type='stiletto 6, chunky heels 2, wedges 1, platform 1',
    up_height='low',
    toe_shape='pointed toe 6, round 2, peep toe 2',
    closure_type='slipon 7, ankle strap 3',
    material='leather 50, suede 25, satin 9, glitter 4, velvet 3, pvc 1',
  ),
  'sandals': tables(
    heel_type='flat 5, wedges 2, stiletto 1, chunky heels 1',
    up_height='low',
    toe_shape='open toe',
    closure_type='buckle 5, ankle strap 3, slipon 2',
    material='leather 64, suede 16, rubber 7, denim 1, glitter 3',
  ),
  'flat': tables(
    heel_type='flat',
    up_height='low',
    toe_shape='round 6, pointed toe 3, square 1',
    closure_type='slipon 8, ankle strap 2',
    material='leather 55, suede 20, canvas 12, satin 5, glitter 4, lace 1',
  ),
  'loafers': tables(
    heel_type='flat',
    up_height='low',
    toe_shape='round 7, square 3',
    closure_type='slipon',
    material='leather 60, suede 36, velvet 2, canvas 3',
  ),
  'oxfords': tables(
    heel_type='flat',
    up_height='low',
    toe_shape='round 5, pointed toe 4, square 1',
    closure_type='laceup',
    material='leather 84, suede 16',
  ),
  'sheath': tables(
    length='above knee 3, knee 5, midi 2',
    sleeve_length='sleeveless 5, short 3, half 1, long 2',
    collar='round neck 5, v neck 2, square neck 1, boat neck 1',
    material='cotton 40, lace 18, satin 10, sequined 5, wool 4, leather 1',
  ),
  'fit and flare': tables(
    length='mini 2, knee 6, midi 2',
    sleeve_length='sleeveless 5, short 3, spaghetti strap 2, long 1',
    collar='round neck 5, v neck 3, square neck 1',
    material='cotton 45, chiffon 28, lace 9, satin 8, denim 2, velvet 2',
  ),
  'ball gown': tables(
    length='floor length',
    sleeve_length='strapless 5, sleeveless 3, off shoulder 2',
    collar='sweetheart 5, v neck 3, round neck 2',
    material='satin 36, tulle 26, chiffon 20, lace 18',
  ),
  'mermaid': tables(
    length='floor length',
    sleeve_length='strapless 4, sleeveless 3, long 2',
    collar='sweetheart 4, v neck 4, round neck 2',
    material='satin 34, lace 32, sequined 16, chiffon 12, velvet 4',
  ),
  'shift': tables(
    length='mini 4, knee 4, maxi 3',
    sleeve_length='sleeveless 4, short 4, half 2, long 2, spaghetti strap 1',
    collar='round neck 6, v neck 3, boat neck 1',
    material='cotton 50, chiffon 26, linen 4, knitting 7, denim 4',
  ),
  'bodycon': tables(
    length='mini 7, knee 3',
    sleeve_length='sleeveless 5, long 3, short 1, spaghetti strap 2',
    collar='round neck 5, v neck 3, square neck 1',
    material='cotton 40, knitting 14, leather 3, sequined 8, velvet 4, lace 6',
  ),
  'jeans': tables(
    length='full length 12, ankle length 3, short 3, capris 1',
    fit='skinny 4, slim 3, straight 4, flare 1, loose 1',
    decoration='pockets 7, ripped 3, belt 1',
    pattern='solid',
    material='denim',
  ),
  'leggings': tables(
    length='full length 8, ankle length 3, capris 2',
    fit='skinny',
    decoration='elastic waist',
    pattern='solid 12, floral 2, leopard 1, striped 1, camouflage 1',
    material='cotton 70, leather 16, nylon 10, velvet 2',
  ),
  'casual': tables(
    length='full length 6, ankle length 2, short 5, capris 2',
    fit='slim 3, straight 4, loose 2, wide leg 2',
    decoration='pockets 6, belt 3, drawstring 2',
    pattern='solid 12, striped 1, plaid 1, floral 1',
    material='cotton 70, linen 14, corduroy 5, wool 2',
  ),
  'harem': tables(
    length='full length 4, ankle length 3',
    fit='loose',
    decoration='elastic waist 5, drawstring 4',
    pattern='solid 3, floral 2, striped 1',
    material='cotton 70, chiffon 12, linen 10, satin 4',
  ),
  'jogging': tables(
    length='full length 7, short 2, ankle length 2',
    fit='slim 2, straight 2, loose 3',
    decoration='drawstring 7, side stripe 3',
    pattern='solid 12, camouflage 1',
    material='cotton 72, nylon 20, velvet 2',
  ),
  'cargo': tables(
    length='full length 5, short 4',
    fit='straight 3, loose 4',
    decoration='pockets',
    pattern='solid 6, camouflage 3',
    material='cotton 84, linen 4, nylon 6',
  ),
  'formal': tables(
    length='full length',
    fit='straight 5, slim 3, wide leg 1',
    decoration='belt 5, pockets 2',
    pattern='solid 6, plaid 2, pinstripe 1',
    material='wool 40, cotton 40, satin 3, linen 3',
  ),
  'coats': tables(
    length='long 5, medium 5',
    sleeve_length='long',
    collar='v neck 5, stand collar 3, turtle neck 1',
    closure_type='single breasted 5, double breasted 4, zip 1',
    pattern='solid 12, plaid 2, leopard 1',
    material='wool 64, fur 18, leather 5, suede 2, cotton 6, down 8',
  ),
  'jackets': tables(
    length='short 7, medium 3',
    sleeve_length='long',
    collar='stand collar 5, v neck 4, hooded 2',
    closure_type='zip 7, button 3',
    pattern='solid 14, camouflage 1',
    material='leather 32, denim 12, cotton 20, nylon 12, suede 6, down 18',
  ),
  'blazers': tables(
    length='medium 6, short 3',
    sleeve_length='long',
    collar='v neck',
    closure_type='single breasted 7, double breasted 2',
    pattern='solid 9, plaid 3, pinstripe 1',
    material='wool 48, cotton 34, linen 6, velvet 4, satin 2',
  ),
  'parka': tables(
    length='medium 6, long 3',
    sleeve_length='long',
    collar='hooded',
    closure_type='zip',
    pattern='solid 10, camouflage 1',
    material='down 44, cotton 30, nylon 26',
  ),
  'cardigans': tables(
    length='medium 5, long 2, short 3',
    sleeve_length='long',
    collar='v neck',
    closure_type='button',
    pattern='solid 5, striped 2',
    material='knitting 92, wool 8',
  ),
  'vests': tables(
    length='short 6, medium 3',
    sleeve_length='sleeveless',
    collar='stand collar 5, v neck 4',
    closure_type='zip 6, button 3',
    pattern='solid',
    material='down 40, fur 22, denim 18, cotton 16, leather 6',
  ),
  'trench coat': tables(
    length='long 5, medium 4',
    sleeve_length='long',
    collar='v neck',
    closure_type='double breasted',
    pattern='solid',
    material='cotton 90, leather 6, pvc 3',
  ),
  'cloak': tables(
    length='medium 5, long 3',
    sleeve_length='half',
    collar='stand collar 4, hooded 3',
    closure_type='button',
    pattern='solid 5, plaid 2',
    material='wool 80, fur 15, knitting 10',
  ),
  'hoodies': tables(
    length='short',
    sleeve_length='long',
    collar='hooded',
    closure_type='zip 5, pullover 5',
    pattern='solid 6, print 4, striped 1',
    material='cotton 85, knitting 6, wool 5',
  ),
  'bomber jacket': tables(
    length='short',
    sleeve_length='long',
    collar='stand collar',
    closure_type='zip',
    pattern='solid 8, camouflage 1, floral 1',
    material='nylon 50, leather 20, cotton 14, satin 8, suede 5',
  ),
}

# Dresses of each silhouette are printed alike; children's more often.
DRESS_PATTERN = shares(
  'solid 46, floral 24, striped 9, polka dot 10, plaid 4, leopard 3, print 2'
)
KIDS_PATTERN = shares('solid 4, print 4, polka dot 3, striped 3, floral 2')
