//! What our own pages say, in English and German. Plain words: the readers are people at their
//! desk who wanted to reach their telephone system.

use crate::model::{Language, State};
use crate::stats::HttpRefusal;

/// The words of one page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Text {
    pub language: &'static str,
    pub title: &'static str,
    pub lead: &'static str,
    /// What the reader can do; may be empty.
    pub advice: &'static str,
}

/// The words for a refusal, or for the landing page where there is none.
pub(super) fn text(why: Option<HttpRefusal>, state: Option<State>, language: Language) -> Text {
    let (code, (title, lead, advice)) = match language {
        Language::En => ("en", english(why, state)),
        Language::De => ("de", german(why, state)),
    };
    Text { language: code, title, lead, advice }
}

type Words = (&'static str, &'static str, &'static str);

fn english(why: Option<HttpRefusal>, state: Option<State>) -> Words {
    use HttpRefusal as Why;
    let Some(why) = why else {
        return (
            "You have reached the front door",
            "Telephone systems are reached through this address, each by its own name.",
            "Please use the complete address you were given.",
        );
    };
    match why {
        Why::UnknownName => (
            "There is nothing at this address",
            "No service is known under this address.",
            "Please check how it is spelled, or ask whoever gave it to you.",
        ),
        Why::WebOff => (
            "No web access",
            "This telephone system is not reached by browser.",
            "Phones and other services may work all the same.",
        ),
        Why::LightUser => (
            "Not part of your licence",
            "Your user has a light licence. It covers calls with one telephone; the web interface, apps, soft clients \
             and programs need a full licence.",
            "Your telephone works as before. Please ask your administrator for a full licence.",
        ),
        Why::Banned => (
            "Too many failed sign-ins",
            "From your network, or for your user, too many sign-ins failed. Access is closed for a while.",
            "Please try again later, or ask your administrator.",
        ),
        Why::RestOnly => (
            "No web access here",
            "This telephone system serves programs only at this address, no pages.",
            "Please ask your administrator for the right address.",
        ),
        Why::InstanceOff => match state {
            Some(State::Starting) => (
                "Your telephone system is starting",
                "It will be there in a moment.",
                "This page tries again by itself.",
            ),
            Some(State::Stopping) => (
                "Your telephone system is being stopped",
                "It is being switched off for maintenance.",
                "Please try again later.",
            ),
            _ => (
                "Closed for maintenance",
                "Your telephone system is switched off at the moment.",
                "Please try again later, or ask your administrator.",
            ),
        },
        Why::InstanceFailed => (
            "Your telephone system is out of order",
            "It could not be started. Its operator can see the reason.",
            "Please try again later, or tell your administrator.",
        ),
        Why::Unreachable => (
            "Your telephone system does not answer",
            "We could not reach it just now.",
            "Please try again in a moment, or tell your administrator.",
        ),
        Why::InstanceTimeout => {
            ("Your telephone system takes too long", "It did not answer in time.", "Please try again in a moment.")
        }
        Why::BadAnswer => (
            "An unreadable answer",
            "Your telephone system gave an answer that we cannot pass on.",
            "Please tell your administrator.",
        ),
        Why::Overloaded => (
            "Too many requests at once",
            "Your telephone system is serving as many requests as it may.",
            "Please try again in a few seconds.",
        ),
        Why::Misdirected => (
            "Wrong connection for this address",
            "The connection was opened for another name.",
            "Reloading the page helps.",
        ),
        Why::BodyTooLarge => ("Too large", "What was sent is larger than this telephone system accepts.", ""),
        Why::TargetTooLong => ("Address too long", "The address that was asked for is too long.", ""),
        Why::FieldsTooLarge => (
            "Too many header fields",
            "The request carries more header data than is accepted.",
            "Deleting this site's cookies often helps.",
        ),
        Why::RequestTimeout => ("Too slow", "The request did not arrive in time.", "Please try again."),
        Why::Method => ("Not possible here", "This method is not allowed.", ""),
        Why::Protocol => ("Not possible here", "This protocol is not known.", ""),
        Why::Loop => (
            "Going round in circles",
            "The request came back to us. The web address of this telephone system points at its own front door.",
            "Please tell your administrator.",
        ),
        Why::Origin => (
            "Not from that page",
            "Pages from there may not connect to this address.",
            "Please ask whoever runs the page.",
        ),
        Why::Upgrade => ("Not possible here", "WebSockets have version 13 here.", ""),
        Why::BadRequest | Why::Malformed => ("Not understood", "The request is not valid HTTP.", ""),
    }
}

fn german(why: Option<HttpRefusal>, state: Option<State>) -> Words {
    use HttpRefusal as Why;
    let Some(why) = why else {
        return (
            "Sie stehen vor der Haustür",
            "Über diese Adresse werden Telefonanlagen erreicht, jede unter ihrem eigenen Namen.",
            "Bitte verwenden Sie die vollständige Adresse, die Sie bekommen haben.",
        );
    };
    match why {
        Why::UnknownName => (
            "Unter dieser Adresse gibt es nichts",
            "Unter dieser Adresse ist kein Dienst bekannt.",
            "Bitte prüfen Sie die Schreibweise, oder fragen Sie dort nach, woher Sie die Adresse haben.",
        ),
        Why::WebOff => (
            "Kein Webzugang",
            "Diese Telefonanlage ist mit dem Browser nicht erreichbar.",
            "Telefone und andere Dienste können trotzdem funktionieren.",
        ),
        Why::LightUser => (
            "Nicht Teil Ihrer Lizenz",
            "Ihr Benutzer hat eine Light-Lizenz. Sie umfasst das Telefonieren mit einem Telefon; Weboberfläche, Apps, \
             Softphones und Programme brauchen eine Voll-Lizenz.",
            "Ihr Telefon funktioniert wie bisher. Bitte fragen Sie Ihre Administration nach einer Voll-Lizenz.",
        ),
        Why::Banned => (
            "Zu viele Fehlversuche",
            "Aus Ihrem Netz oder für Ihren Benutzer sind zu viele Anmeldungen fehlgeschlagen. Der Zugang ist für eine \
             Weile geschlossen.",
            "Bitte versuchen Sie es später noch einmal, oder fragen Sie Ihre Administration.",
        ),
        Why::RestOnly => (
            "Hier kein Webzugang",
            "Diese Telefonanlage bedient unter dieser Adresse nur Programme, keine Seiten.",
            "Bitte fragen Sie Ihre Administration nach der richtigen Adresse.",
        ),
        Why::InstanceOff => match state {
            Some(State::Starting) => (
                "Ihre Telefonanlage startet",
                "Sie ist gleich für Sie da.",
                "Diese Seite versucht es von selbst noch einmal.",
            ),
            Some(State::Stopping) => (
                "Ihre Telefonanlage wird angehalten",
                "Sie wird für eine Wartung ausgeschaltet.",
                "Bitte versuchen Sie es später noch einmal.",
            ),
            _ => (
                "Wegen Wartung geschlossen",
                "Ihre Telefonanlage ist zurzeit ausgeschaltet.",
                "Bitte versuchen Sie es später noch einmal, oder fragen Sie Ihre Administration.",
            ),
        },
        Why::InstanceFailed => (
            "Ihre Telefonanlage ist gestört",
            "Sie konnte nicht gestartet werden. Der Betreiber kann den Grund sehen.",
            "Bitte versuchen Sie es später noch einmal, oder melden Sie es Ihrer Administration.",
        ),
        Why::Unreachable => (
            "Ihre Telefonanlage antwortet nicht",
            "Wir konnten sie gerade nicht erreichen.",
            "Bitte versuchen Sie es gleich noch einmal, oder melden Sie es Ihrer Administration.",
        ),
        Why::InstanceTimeout => (
            "Ihre Telefonanlage braucht zu lange",
            "Sie hat nicht rechtzeitig geantwortet.",
            "Bitte versuchen Sie es gleich noch einmal.",
        ),
        Why::BadAnswer => (
            "Eine unlesbare Antwort",
            "Ihre Telefonanlage hat eine Antwort gegeben, die wir nicht weitergeben können.",
            "Bitte melden Sie es Ihrer Administration.",
        ),
        Why::Overloaded => (
            "Zu viele Anfragen auf einmal",
            "Ihre Telefonanlage bedient gerade so viele Anfragen, wie sie darf.",
            "Bitte versuchen Sie es in ein paar Sekunden noch einmal.",
        ),
        Why::Misdirected => (
            "Falsche Verbindung für diese Adresse",
            "Die Verbindung wurde für einen anderen Namen aufgebaut.",
            "Es hilft, die Seite neu zu laden.",
        ),
        Why::BodyTooLarge => ("Zu groß", "Was gesendet wurde, ist größer als diese Telefonanlage annimmt.", ""),
        Why::TargetTooLong => ("Adresse zu lang", "Die angefragte Adresse ist zu lang.", ""),
        Why::FieldsTooLarge => (
            "Zu viele Kopfdaten",
            "Die Anfrage bringt mehr Kopfdaten mit, als angenommen werden.",
            "Oft hilft es, die Cookies dieser Seite zu löschen.",
        ),
        Why::RequestTimeout => {
            ("Zu langsam", "Die Anfrage kam nicht rechtzeitig an.", "Bitte versuchen Sie es noch einmal.")
        }
        Why::Method => ("Hier nicht möglich", "Diese Methode ist nicht erlaubt.", ""),
        Why::Protocol => ("Hier nicht möglich", "Dieses Protokoll ist nicht bekannt.", ""),
        Why::Loop => (
            "Im Kreis gelaufen",
            "Die Anfrage kam zu uns zurück. Die Webadresse dieser Telefonanlage zeigt auf ihre eigene Haustür.",
            "Bitte melden Sie es Ihrer Administration.",
        ),
        Why::Origin => (
            "Nicht von dieser Seite",
            "Seiten von dort dürfen sich mit dieser Adresse nicht verbinden.",
            "Bitte fragen Sie die Betreiber der Seite.",
        ),
        Why::Upgrade => ("Hier nicht möglich", "WebSockets haben hier die Version 13.", ""),
        Why::BadRequest | Why::Malformed => ("Nicht verstanden", "Die Anfrage ist kein gültiges HTTP.", ""),
    }
}
