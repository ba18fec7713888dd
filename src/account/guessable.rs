//! Passwords that attackers try first: common ones, walks over the keyboard, repetitions, and the words around the
//! account. NIST SP 800-63B, section 3.1.1.2: compare with what is commonly used, expected or compromised, ask for no
//! mixture of character classes.
//!
//! A list of whole passwords would have to be huge, so that this is a list of the words they are made of, looked for
//! behind the usual disguises: digits and signs around them, `4` for `a`, capital letters.

use crate::crypto::MIN_PASSWORD_CHARS;

/// Whether somebody who guesses would come to this password soon. `around` are the names of the person and the site.
pub(super) fn is_guessable(password: &str, around: &[&str]) -> bool {
    let lower = password.to_lowercase();
    is_repetition(&lower) || is_walk(&lower) || is_of_few_words(&lower, around)
}

/// `aaaaaaaa`, `abcabcabc`, `20262026`, `adminadminadmin`: as hard to guess as what is repeated, which is too short by itself.
fn is_repetition(text: &str) -> bool {
    let chars: Vec<char> = text.chars().collect();
    let longest = (chars.len() / 2).min(MIN_PASSWORD_CHARS - 1);
    (1..=longest).any(|unit| chars.iter().zip(chars.iter().skip(unit)).all(|(a, b)| a == b))
}

const ROWS: [&str; 10] = [
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890",
    "qwertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "qwertzuiop",
    "yxcvbnm",
    "azertyuiop",
    "qsdfghjklm",
    "!@#$%^&*()",
];

/// Whether two characters follow each other in the alphabet or beside each other on a keyboard.
fn are_neighbours(a: char, b: char) -> bool {
    a == b
        || ROWS.iter().any(|row| {
            row.chars()
                .zip(row.chars().skip(1))
                .any(|(left, right)| (left, right) == (a, b) || (left, right) == (b, a))
        })
}

/// `qwertz12345`, `abcd1234`, `asdfghjkl`: long walks with hardly a jump between them.
fn is_walk(text: &str) -> bool {
    let chars: Vec<char> = text.chars().collect();
    let jumps = chars
        .iter()
        .zip(chars.iter().skip(1))
        .filter(|(a, b)| !are_neighbours(**a, **b))
        .count();
    jumps * 4 < chars.len()
}

/// At most two known words, digits and signs aside.
fn is_of_few_words(text: &str, around: &[&str]) -> bool {
    let letters: String = text.chars().filter_map(undisguised).collect();
    let plain: String = text.chars().filter(|c| c.is_alphabetic()).collect();
    let names: Vec<String> = around.iter().flat_map(|name| parts(name)).collect();
    let mut known: Vec<&str> = names
        .iter()
        .map(String::as_str)
        .chain(WORDS.split_whitespace())
        .collect();
    known.sort_by_key(|word| std::cmp::Reverse(word.len()));
    let further: String = text.chars().filter(|c| !c.is_alphabetic()).collect();
    // Many further characters are a password of their own, unless they only make it long enough.
    let is_padding = further.chars().count() <= 8 || has_few_characters(&further) || is_walk(&further);
    is_padding && (leaves_nothing(&letters, &known) || leaves_nothing(&plain, &known))
}

/// `2026-2026!`, `............`: at most five different ones.
fn has_few_characters(text: &str) -> bool {
    text.chars().collect::<std::collections::BTreeSet<_>>().len() <= 5
}

/// A letter behind its usual disguise; nothing for what only pads.
fn undisguised(c: char) -> Option<char> {
    Some(match c {
        '4' | '@' => 'a',
        '3' => 'e',
        '1' | '!' => 'i',
        '0' => 'o',
        '5' | '$' => 's',
        '7' => 't',
        c if c.is_alphabetic() => c,
        _ => return None,
    })
}

fn leaves_nothing(letters: &str, known: &[&str]) -> bool {
    let mut rest = letters.to_owned();
    let mut words = 0;
    for word in known {
        while words < 2 && word.len() >= 3 {
            let Some(at) = rest.find(word) else { break };
            rest.replace_range(at..at + word.len(), "");
            words += 1;
        }
    }
    words > 0 && rest.chars().count() <= 2
}

/// The words of a name or an address, and the whole of it without what separates them.
fn parts(name: &str) -> Vec<String> {
    let lower = name.to_lowercase();
    let mut all: Vec<String> = lower
        .split(|c: char| !c.is_alphabetic())
        .filter(|part| part.chars().count() >= 3)
        .map(str::to_owned)
        .collect();
    all.push(lower.chars().filter(|c| c.is_alphabetic()).collect());
    all
}

/// What passwords all over the world begin with. Lower case, letters only, at least three of them.
const WORDS: &str = "
    password passwort passwd passcode passord motdepasse contrasena senha parola haslo kennwort geheim secret login
    logon signin access admin administrator root user guest test tester testing demo default changeme letmein
    welcome willkommen bienvenue hello hallo iloveyou trustno whatever nothing please open opensesame sesame master
    manager service support office company business server system database oracle cisco internet computer network
    windows microsoft google facebook linkedin apple android samsung private security mail email webmail helpdesk
    ticket oauth token qwerty qwertz azerty qwert asdf asdfgh zxcvbn qazwsx wsxedc qweasd qweasdzxc asdzxc abc abcd
    xyz aaa zaq xsw poiuy lkjh mnbvcxz january february march april may june july august september october november
    december januar februar juni juli oktober dezember spring summer autumn fall winter sommer herbst fruehling
    frühling monday tuesday wednesday thursday friday saturday sunday montag freitag christmas newyear birthday
    today tomorrow love lover lovely loveme loveyou baby babygirl babyboy honey sweetie princess prinzessin angel
    angels daddy mommy mother father family friend friends schatz michael michelle jordan jennifer jessica ashley
    daniel andrew joshua matthew thomas robert charlie william anthony nicole amanda andrea alexander alexandra
    maria martin stefan steven justin hannah samantha patrick richard george jasmine brandon nicholas christian
    elizabeth sophie oliver maggie buster jack james john david peter paul anna sarah laura julia lisa max tom
    dragon monkey tiger lion eagle falcon panther butterfly dolphin horse kitty kitten puppy chicken rabbit spider
    bear wolf shark turtle banana cookie chocolate cheese coffee pepper ginger peanut cherry orange strawberry pizza
    purple yellow green black white silver golden gold blue red flower sunshine sunflower rainbow diamond crystal
    summertime snow thunder storm ocean river moon star stars sun fire shadow phoenix football baseball basketball
    soccer hockey tennis golf softball fussball futbol liverpool arsenal chelsea manchester united barcelona
    juventus bayern lakers yankees cowboys steelers batman superman spiderman starwars pokemon naruto minecraft
    fortnite matrix mustang ferrari porsche mercedes harley yamaha corvette ranger hunter killer ninja samurai
    warrior soldier pirate wizard merlin gandalf hobbit music guitar metallica slipknot blink eminem player gamer
    winner champion hacker zombie freedom forever lucky happy smile cool super power magic heaven jesus jesuschrist
    god blessed faith peace america london berlin paris madrid texas california canada germany deutschland france
    india mexico fuckyou fuck asshole bitch sexy qaz wsx edc";

#[cfg(test)]
mod tests {
    use super::*;

    const AROUND: &[&str] = &["ada.lovelace@analytic.example", "Ada Lovelace", "mailgrant"];

    #[test]
    fn what_attackers_try_first_is_found_behind_its_disguises() {
        for password in "password / Password1 / P@ssw0rd! / passwort123 / 12345678 / 1234567890 / 87654321 / aaaaaaaa / \
                         abcabcabc / qwertyuiop / Qwertz123456 / 1qaz!QAZ / asdfghjkl; / abcd1234 / letmein2026! / \
                         Summer2026! / welcome01 / iloveyou2 / admin1234 / Administrator1 / dragon-monkey / football#1 / \
                         Mailgrant2026 / mailgrant! / AdaLovelace1 / lovelace1815 / ada.lovelace / analytic99 / ada@analytic \
                         / 20262026 / 1212121212 / hunter2hunter2 / password1234567890 / Password-12345678 / Password-2026-2026! / adminadminadmin / \
                         ada1234567890123 / summer2026202620262026 / qwertyuiop12345 / welcome............"
            .split(" / ")
        {
            assert!(is_guessable(password, AROUND), "{password}");
        }
    }

    #[test]
    fn passphrases_and_random_passwords_are_let_alone() {
        for password in "correct horse battery / dragon monkey football shadow / kX9vQ2mTw7pL / drei graue Esel im Regen / \
                         Grüße aus dem Süden / пароль для работы / 我的猫喜欢吃鱼和米饭 / tr0ub4dor&3xyz / 4f9a1c7be2d8 / admin 8205 3391 7746 / the engine \
                         weaves algebraic patterns / 🐙🦑🦐🦀🐡🐠🐟🐬"
            .split(" / ")
        {
            assert!(!is_guessable(password, AROUND), "{password}");
        }
    }
}
