-- Only the needed columns are asked for.
SELECT id, last_name FROM salesforce.contact;
--> Foreign Scan on salesforce.contact
-->   Output: id, last_name
-->   Remote Query: SELECT Id, LastName FROM Contact
--= 003RO000000EZaiYAG | O'Brien
--= 003RO000000EZajYAG | Under_score
--= 003RO000000EZakYAG | Nguyễn
--= 003RO000000EZalYAG | Liskov
--= 003RO000000EZamYAG | Nguyễn
--= (300 rows)
SELECT * FROM salesforce.account WHERE id IS NULL;
--> Foreign Scan on salesforce.account
-->   Output: id, is_deleted, master_record_id, name, type, parent_id, billing_street, billing_city, billing_state, billing_postal_code, billing_country, …
-->   Remote Query: SELECT Id, IsDeleted, MasterRecordId, Name, Type, ParentId, BillingStreet, BillingCity, BillingState, BillingPostalCode, BillingCountry, BillingLatitude, BillingLongitude, BillingGeocodeAccuracy, BillingAddress, ShippingStreet, ShippingCity, ShippingState, ShippingPostalCode, ShippingCountry, ShippingLatitude, ShippingLongitude, ShippingGeocodeAccuracy, ShippingAddress, Phone, Website, Industry, AnnualRevenue, NumberOfEmployees, Description, Rating, OwnerId, AccountNumber, Active__c, ERP_Key__c, X2ndValue__c, Legacy_Code__c, CreatedDate, CreatedById, LastModifiedDate, LastModifiedById, SystemModstamp FROM Account WHERE Id = null
--= (0 rows)
SELECT FROM salesforce.contact WHERE do_not_call;
--> Foreign Scan on salesforce.contact
-->   Remote Query: SELECT Id FROM Contact WHERE DoNotCall = TRUE
--= (20 rows)
SELECT contact IS NULL FROM salesforce.contact WHERE score__c > 100;
--> Foreign Scan on salesforce.contact
-->   Output: (contact.* IS NULL)
-->   Remote Query: SELECT Id, IsDeleted, AccountId, LastName, FirstName, Salutation, Name, MailingStreet, MailingCity, MailingState, MailingPostalCode, MailingCountry, MailingLatitude, MailingLongitude, MailingGeocodeAccuracy, MailingAddress, Phone, MobilePhone, ReportsToId, Email, Title, Department, LeadSource, Birthdate, Description, OwnerId, HasOptedOutOfEmail, DoNotCall, Level__c, Languages__c, ERP_Key__c, Score__c, CreatedDate, CreatedById, LastModifiedDate, LastModifiedById, SystemModstamp FROM Contact WHERE Score__c > 100
--= f
--= f
--= f
--= f
--= f
--= (159 rows)
SELECT id FROM salesforce.contact WHERE upper(title) = 'ACME';
--> Foreign Scan on salesforce.contact
-->   Output: id
-->   Filter: (upper(contact.title) = 'ACME'::text)
-->   Remote Query: SELECT Id, Title FROM Contact WHERE Title = 'ACME'
--= 003RO000000EZbdYAG
--= 003RO000000EZbjYAG
--= 003RO000000EZc2YAG
--= 003RO000000EZc9YAG
--= 003RO000000EZcRYAW
--= (15 rows)
SELECT tableoid::regclass, ctid FROM salesforce.contact WHERE score__c > 100;
--> Foreign Scan on salesforce.contact
-->   Output: (tableoid)::regclass, ctid
-->   Remote Query: SELECT Id FROM Contact WHERE Score__c > 100
--= salesforce.contact | (4294967295,0)
--= salesforce.contact | (4294967295,0)
--= salesforce.contact | (4294967295,0)
--= salesforce.contact | (4294967295,0)
--= salesforce.contact | (4294967295,0)
--= (159 rows)
