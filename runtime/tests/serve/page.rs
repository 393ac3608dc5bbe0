//! The page needs nothing from elsewhere and runs under its own policy. How it looks and works: tests/browser.

use crate::house::ordinary;
use crate::http::get;

#[test]
fn the_page_is_whole() {
    let address = ordinary();
    let page = get(address, "/");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let html = page.text();
    assert!(html.contains("Research software. Not a medical device."));
    // no inline code or style: the policy would not run it
    assert!(!html.contains("style=\"") && !html.contains("<style") && !html.contains(" onclick"));
    assert!(html.matches("<script").count() == html.matches("<script type=\"module\" src=\"/").count());
    let linked: Vec<_> = html.split('"').filter(|word| word.starts_with('/') && !word.contains('>')).collect();
    assert!(linked.contains(&"/page.js") && linked.contains(&"/style.css"));
    let imports = get(address, "/page.js").text().matches(" from \"./").count();
    assert_eq!(imports, html.matches("modulepreload").count());
    for path in linked {
        let asset = get(address, path);
        assert_eq!(asset.status, 200, "{path}");
        let text = asset.text().replace("http://www.w3.org/2000/svg", "");
        assert!(!text.contains("http://") && !text.contains("https://") && !text.contains("//cdn"), "{path}");
    }
}
