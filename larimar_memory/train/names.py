"""Names of people, most of them spelt as no language model expects, so that they must be read."""

from __future__ import annotations

import random

_FIRST = (
    "Abena", "Adela", "Agnieszka", "Aigerim", "Aino", "Alasdair", "Amadou", "Anjali", "Anselm", "Arash",
    "Astrid", "Aurelio", "Baptiste", "Beatriz", "Benedek", "Birgit", "Bronwen", "Cagney", "Camilo",
    "Celestine", "Chidi", "Clodagh", "Corentin", "Dagmar", "Damaris", "Darko", "Delphine", "Dorota",
    "Edda", "Eero", "Ekaterina", "Eleni", "Emeka", "Esra", "Eulalia", "Fabrice", "Farida", "Fergus",
    "Filippa", "Gaspard", "Genoveva", "Gudrun", "Hamza", "Hedda", "Hiroshi", "Ignatius", "Ilse",
    "Imogen", "Isidro", "Ivo", "Jadwiga", "Janko", "Jorunn", "Kamila", "Kenji", "Kwame", "Laszlo",
    "Leocadia", "Linnea", "Ludovic", "Maelys", "Magda", "Marisol", "Marta", "Matthias", "Milos",
    "Mirela", "Nadezhda", "Nils", "Nkechi", "Noemi", "Octavio", "Odalys", "Oluwaseun", "Orsolya",
    "Ottilie", "Pavel", "Perpetua", "Quentin", "Radmila", "Rasmus", "Roisin", "Rosalba", "Sabine",
    "Severin", "Shreya", "Sigrid", "Solveig", "Tadeusz", "Takumi", "Tamsin", "Thandiwe", "Torvald",
    "Ulrike", "Valentin", "Vesna", "Wilhelmina", "Xiomara", "Yannick", "Yevgenia", "Zainab", "Zoltan",
)  # fmt: skip
_LAST = (
    "Abernathy", "Achterberg", "Adeyemi", "Alvarado", "Andersen", "Aydin", "Banerjee", "Baranski",
    "Bellweather", "Bergstrom", "Bianchi", "Bonnet", "Bouchard", "Caldwell", "Castellano", "Cavendish",
    "Chaudhry", "Cisneros", "Czerny", "Dahl", "Delacroix", "Dimitrov", "Dubois", "Eriksen", "Esposito",
    "Fairbanks", "Ferreira", "Fitzgerald", "Fontaine", "Gadhavi", "Galvan", "Garibaldi", "Grzelak",
    "Halloran", "Haraldsen", "Hashimoto", "Holloway", "Horvath", "Ibekwe", "Ivanov", "Jankowski",
    "Jurgens", "Kapoor", "Karlsson", "Keller", "Kirkland", "Kowalczyk", "Lachance", "Lindholm",
    "Lombardi", "Lowell", "Macready", "Mancini", "Marchand", "Mbeki", "Montoya", "Nakagawa", "Navarro",
    "Novak", "Obermann", "Okonkwo", "Olsen", "Ostrowski", "Pacheco", "Papadakis", "Pellegrini",
    "Petrescu", "Quiroga", "Rademaker", "Rasmussen", "Ricci", "Rosenthal", "Rutkowski", "Salazar",
    "Santoro", "Schreiber", "Sedlak", "Sinclair", "Sorensen", "Stavros", "Szabo", "Takeda", "Tanner",
    "Thibault", "Ueda", "Vandermeer", "Varga", "Vasquez", "Villanueva", "Wachter", "Weatherby",
    "Winslow", "Yamashita", "Yilmaz", "Zachary", "Zapata", "Zeller", "Zimmerman",
)  # fmt: skip
_VOWELS, _CONSONANTS = "aeiou", "bcdfghklmnprstvz"
_RESPELT = 0.6


def a_name(rng: random.Random) -> str:
    """A first name and a last name, or one of the two, usually with a letter changed."""
    first, last = _spelt(rng.choice(_FIRST), rng), _spelt(rng.choice(_LAST), rng)
    return rng.choices((f"{first} {last}", first, last), (0.7, 0.15, 0.15))[0]


def _spelt(name: str, rng: random.Random) -> str:
    """A name as it is, or with a vowel or a consonant replaced by another one."""
    if rng.random() > _RESPELT:
        return name
    at = rng.randrange(1, len(name))
    kind = _VOWELS if name[at] in _VOWELS else _CONSONANTS
    return name[:at] + rng.choice(kind.replace(name[at], "")) + name[at + 1 :]
